//! A private column in a list.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

use nizhal::prelude::*;

#[nizhal::table]
pub struct Product {
    #[nizhal(primary_key)]
    pub id: String,
    pub shop_id: String,
    #[nizhal(private)]
    pub margin: i64,
}

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Product { id, margin } where Product.shop_id == shop_id;
    }
}

fn main() {}
