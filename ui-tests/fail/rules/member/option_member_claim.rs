//! A membership compared with a claim that may be missing.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.shop_id == actor.shop_id;
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
