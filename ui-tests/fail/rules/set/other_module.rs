//! A table of the same name in another module.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

mod other {
    use nizhal::prelude::*;

    #[nizhal::table(name = "other_customers")]
    pub struct Customer {
        #[nizhal(primary_key)]
        pub id: String,
        pub shop_id: String,
    }
}

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer where other::Customer.shop_id == shop_id;
    }
}

fn main() {}
