//! What nurses may do. Each mutation takes its place in the order of its clinic, by the time at which it was made.

mod fridge;
mod slot;

pub use fridge::*;
pub use slot::*;

use crate::claims::Claims;
use crate::table::Clinic;
use nizhal::prelude::*;

/// A moment as the clinic's clock shows it: `9:02`.
async fn clinic_time(ctx: &Ctx<Claims>, clinic_id: &str, moment: DateTimeUtc) -> Result<String> {
    let clinic = Clinic::find_by_id(clinic_id).one(ctx.db()).await?;
    let ahead = TimeDelta::minutes(clinic.map_or(0, |clinic| clinic.utc_offset_minutes).into());
    Ok((moment + ahead).format("%-H:%M").to_string())
}
