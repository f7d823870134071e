//! A context with something that is no claims type.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {}

struct Plain;

#[mutator]
async fn act(_ctx: &mut Ctx<Plain>, _args: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
