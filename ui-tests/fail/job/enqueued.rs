//! A plain function and a job's wrong arguments, enqueued.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

async fn plain(_ctx: &mut JobCtx, _args: Act) -> Result<()> {
    Ok(())
}

#[nizhal::job]
async fn act(ctx: &mut JobCtx, _args: Act) -> Result<()> {
    ctx.jobs().enqueue(plain, Act {})?;
    ctx.jobs().enqueue(act, "now")?;
    Ok(())
}

fn main() {
    jobs![act];
}
