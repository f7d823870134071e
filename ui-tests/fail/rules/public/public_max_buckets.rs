//! A public rule has one bucket.
#![allow(unused_imports)]
#[path = "../../../app/mod.rs"]
mod app;
use app::*;

nizhal::sync_rules! {
    pub rules for Claims;

    #[max_buckets = 2]
    public rule catalog() {
        Customer;
    }
}

fn main() {}
