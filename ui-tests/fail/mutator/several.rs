//! Several mistakes, reported together.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

#[mutator(nam = "x")]
unsafe fn act<T>(_ctx: &Ctx<Claims>, _one: T, _two: T) -> Applied {
    Applied::done()
}

fn main() {
    mutators![act];
}
