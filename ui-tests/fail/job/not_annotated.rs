//! A plain function among the jobs.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

async fn act(_ctx: &mut JobCtx, _args: Act) -> Result<()> {
    Ok(())
}

fn main() {
    jobs![act];
}
