//! `?` after a claim that is always there.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule owned(owner) {
        owner = actor.owner_id?;
        Customer where Customer.shop_id == owner;
    }
}

fn main() {}
