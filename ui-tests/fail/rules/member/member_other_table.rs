//! A membership through another table.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where Customer.id == actor.user_id;
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
