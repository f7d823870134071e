//! Columns of a replayed table that do not follow from mutations and their order.
use nizhal::{CrdtText, DateTimeUtc};

#[nizhal::table(merge = "replay")]
pub struct Order {
    #[nizhal(primary_key)]
    pub id: String,
    pub note: Option<CrdtText>,
    #[nizhal(default = now)]
    pub made_at: DateTimeUtc,
}

fn main() {}
