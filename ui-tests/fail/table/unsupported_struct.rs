//! A type of the user's own that no column holds.

pub struct Point;

#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub place: Point,
}

fn main() {}
