//! What no id is around.
#[nizhal::id]
pub struct Price(f64);

#[nizhal::id]
pub struct Large(u64);

fn main() {}
