//! A function that is not a mutator.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

async fn other() {}

#[mutator]
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![other];
}
