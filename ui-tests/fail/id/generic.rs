//! An id of anything.
#[nizhal::id]
pub struct Id<T>(T);

fn main() {}
