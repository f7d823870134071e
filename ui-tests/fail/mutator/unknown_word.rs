//! A misspelt word.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

#[mutator(privilegd(Act))]
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
