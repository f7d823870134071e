//! A mutator that returns nothing.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

#[mutator]
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) {
}

fn main() {
    mutators![act];
}
