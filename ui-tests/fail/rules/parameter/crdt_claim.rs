//! A document compared with a claim.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Note.shop_id where Note.body == actor.user_id;
        Note where Note.shop_id == shop_id;
    }
}

fn main() {}
