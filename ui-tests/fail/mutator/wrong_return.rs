//! A mutator that returns another type.
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
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<()> {
    Ok(())
}

fn main() {
    mutators![act];
}
