//! A bucket that is a constant: the same for everybody.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

const SHOP: &str = "s1";

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Customer where Customer.shop_id == self::SHOP;
    }
}

fn main() {}
