//! Several mistakes, reported together.
#![allow(unused_imports, dead_code)]
use nizhal::prelude::*;

#[nizhal::args]
struct Act {}

#[nizhal::job(attempts = 0, nam = "x")]
fn act<T>(_ctx: &JobCtx, _one: T, _two: T) -> Result<Applied> {
    Ok(Applied::done())
}

fn main() {
    jobs![act];
}
