//! A context by value.
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
async fn act(_ctx: Ctx<Claims>, _args: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
