//! An id that is an enum.
#[nizhal::id]
pub enum ShopId {
    One,
}

fn main() {}
