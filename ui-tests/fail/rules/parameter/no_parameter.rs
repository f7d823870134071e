//! A rule without parameters.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    rule my_shops() {
        Customer where Customer.hidden == false;
    }
}

fn main() {}
