//! A mutator with three arguments.
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
async fn act(_ctx: &mut Ctx<Claims>, _name: Act, _phone: Act) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
