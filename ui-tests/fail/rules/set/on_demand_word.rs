//! A rule on demand with something other than a time.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    #[on_demand(after = "7d")]
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
