//! A type of the user's own that no column holds.

#[derive(Clone, Debug, PartialEq)]
pub struct Point;

#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub place: Point,
    pub other: Option<Point>,
}

fn main() {}
