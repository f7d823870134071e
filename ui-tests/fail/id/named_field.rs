//! An id with a name for what is inside, and one with two values.
#[nizhal::id]
pub struct ShopId {
    pub id: String,
}

#[nizhal::id]
pub struct Pair(String, String);

fn main() {}
