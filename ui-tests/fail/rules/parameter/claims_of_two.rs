//! A claim that is not one claim.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule owned(owner) {
        owner = actor.owner_id || actor.user_id;
        Customer where Customer.shop_id == owner;
    }
}

fn main() {}
