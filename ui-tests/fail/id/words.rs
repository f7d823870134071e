//! A word where there are none.
#[nizhal::id(uuid)]
pub struct ShopId(String);

fn main() {}
