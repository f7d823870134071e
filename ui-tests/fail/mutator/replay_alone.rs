//! A replay that names no bucket.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::args]
struct Act {
    shop_id: String,
    urgent: bool,
}

#[mutator(replay)]
async fn act(_ctx: &mut Ctx<Claims>, args: Act) -> Result<Applied> {
    drop(args);
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
