//! A server-only table in a public rule.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    public rule catalog() {
        ShopMember;
    }
}

fn main() {}
