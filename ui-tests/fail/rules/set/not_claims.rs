//! Rules for something that is no claims type.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

struct Plain {
    user_id: String,
}

nizhal::sync_rules! {
    pub(crate) rules for Plain;

    rule mine(id) {
        id = actor.user_id;
        Customer where Customer.id == id;
    }
}

fn main() {}
