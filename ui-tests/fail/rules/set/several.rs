//! Several mistakes, reported together.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id, shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.role == "owner";
        Customer where Customer.shop_id == shop_di || true;
        Invoice;
        = 3;
    }
}

fn main() {}
