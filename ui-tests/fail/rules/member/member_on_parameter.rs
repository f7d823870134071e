//! A membership that depends on its parameter.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == shop_id;
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
