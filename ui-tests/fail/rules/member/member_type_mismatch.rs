//! A membership of another type than the column.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Customer.points where Customer.id == actor.user_id;
        Customer where Customer.shop_id == shop_id;
    }
}

fn main() {}
