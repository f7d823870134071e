//! `public` by another word.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    pub rule catalog() {
        Customer;
    }
}

fn main() {}
