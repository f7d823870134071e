//! A privileged table that is no table.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

#[mutator(privileged(Act))]
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
