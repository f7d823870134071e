//! A constant of another type than the column.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

const MOST: &str = "3";

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Customer where Customer.shop_id == owner && Customer.points == self::MOST;
    }
}

fn main() {}
