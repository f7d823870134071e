//! A mutator that holds what cannot cross threads.
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
async fn act(_ctx: &mut Ctx<Claims>, _args: Act) -> Result<Applied> {
    let count = std::rc::Rc::new(1);
    std::future::ready(()).await;
    Ok(Applied::id(count.to_string()))
}

fn main() {
    mutators![act];
}
