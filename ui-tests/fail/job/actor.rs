//! A job with a mutator's context.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::job]
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<()> {
    Ok(())
}

fn main() {
    jobs![act];
}
