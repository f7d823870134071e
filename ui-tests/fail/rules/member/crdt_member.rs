//! A document as the source of a bucket.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops(shop_id) {
        shop_id in Note.body where Note.id == actor.user_id;
        Note where Note.shop_id == shop_id;
    }
}

fn main() {}
