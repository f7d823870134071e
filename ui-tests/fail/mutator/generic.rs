//! A generic mutator.
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
async fn act<T>(_ctx: &mut Ctx<Claims>, _args: T) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
