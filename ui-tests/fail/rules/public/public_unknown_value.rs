//! A public rule knows no parameter.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    public rule catalog() {
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
