//! A parameter that hides the actor.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(actor) {
        actor in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer where Customer.shop_id == actor;
    }
}

fn main() {}
