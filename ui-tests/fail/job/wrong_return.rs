//! A job that answers another error.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

#[nizhal::job]
async fn act(_ctx: &mut JobCtx, _args: Act) -> std::result::Result<(), String> {
    Ok(())
}

fn main() {
    jobs![act];
}
