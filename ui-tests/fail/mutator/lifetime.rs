//! A lifetime that the context has already.
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Args {}

#[mutator]
async fn act<'a>(_ctx: &'a mut Ctx<Claims>, _args: Args) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {}
