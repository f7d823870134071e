//! Many mistakes of many kinds, reported together.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    public rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer { id, id } where Customer.shop_id == shop_id || Customer.hidden == false;
    }

    #[max_buckets = 0]
    rule owned(owner) {
        owner = actor.owner_id;
        Customer where Customer.shop_id != owner && (Customer.points == 1 || Customer.points == 1);
    }
}

fn main() {}
