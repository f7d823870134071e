//! A membership column of another type than the claim.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(id) {
        id in Customer.shop_id where Customer.points == actor.user_id;
        Customer where Customer.shop_id == id;
    }
}

fn main() {}
