//! Arguments that are not annotated.
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
async fn act(_ctx: &mut Ctx<Claims>, _args: Plain) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
