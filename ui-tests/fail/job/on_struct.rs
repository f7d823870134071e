//! A job is a function.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

#[nizhal::job]
struct Job;

fn act() {}

fn main() {
    jobs![act];
}
