//! A parameter that everyone would have.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id = "s1";
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
