//! Numbers and moments that no database has.
use std::time::{Duration, SystemTime};

#[derive(Clone, Debug, PartialEq)]
pub struct NaiveDateTime;

#[nizhal::table]
pub struct Order {
    #[nizhal(primary_key)]
    pub id: &'static str,
    pub count: usize,
    pub large: Option<u64>,
    pub made: NaiveDateTime,
    pub seen: SystemTime,
    pub wait: Duration,
}

fn main() {}
