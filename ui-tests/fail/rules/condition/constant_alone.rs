//! A constant by its name alone, where parameters stand.
#[path = "../../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

const MOST: i64 = 3;

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Customer where Customer.shop_id == owner && Customer.points == MOST;
    }
}

fn main() {}
