//! Two rules of one name.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule mine(owner) {
        owner = actor.owner_id;
        Customer where Customer.shop_id == owner;
    }

    #[name = "mine"]
    rule ours(owner) {
        owner = actor.owner_id;
        Customer where Customer.shop_id == owner;
    }
}

fn main() {}
