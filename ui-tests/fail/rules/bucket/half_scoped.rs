//! A table line that only one of two parameters scopes.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id, owner) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        owner = actor.owner_id;
        Customer where Customer.shop_id == shop_id;
        app::Customer where Customer.shop_id == shop_id && Customer.id == owner;
    }
}

fn main() {}
