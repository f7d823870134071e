//! A merge into a column that does not merge.
#![allow(unused_imports)]
#[path = "../../app/mod.rs"]
mod app;
use app::*;
use nizhal::prelude::*;

#[nizhal::args]
pub struct Edit {
    pub id: String,
    pub update: CrdtUpdate,
}

#[mutator]
pub async fn edit(ctx: &mut Ctx<Claims>, args: Edit) -> Result<Applied> {
    ctx.merge(Customer::COLS.phone, args.id, &args.update).await?;
    Ok(Applied::done())
}

fn main() {}
