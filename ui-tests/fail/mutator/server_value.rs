//! `server` with a value.
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Args {}

#[mutator(server = true)]
async fn act(_ctx: &mut Ctx<Claims>, _args: Args) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {}
