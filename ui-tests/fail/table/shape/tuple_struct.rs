//! Columns without names.

#[nizhal::table]
pub struct Customer(#[nizhal(primary_key)] String);

fn main() {}
