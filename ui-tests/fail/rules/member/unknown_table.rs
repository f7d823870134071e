//! A membership table that does not exist.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMembr.shop_id where ShopMembr.user_id == actor.user_id && ShopMembr.role == "owner";
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
