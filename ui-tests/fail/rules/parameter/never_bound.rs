//! A parameter without a source.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
