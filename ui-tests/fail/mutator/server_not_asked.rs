//! What a server has, without asking whether there is one.
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Args {}

#[mutator]
async fn act(ctx: &mut Ctx<Claims>, _args: Args) -> Result<Applied> {
    ctx.server().next_in_bucket("receipt", "s1").await?;
    Ok(Applied::done())
}

fn main() {}
