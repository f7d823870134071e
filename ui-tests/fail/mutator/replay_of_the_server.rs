//! A replay of what the server alone can do.
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

#[mutator(server, replay(my_shops = args.shop_id))]
async fn act(_ctx: &mut Ctx<Claims>, args: Act) -> Result<Applied> {
    drop(args);
    Ok(Applied::done())
}

fn main() {
    mutators![act];
}
