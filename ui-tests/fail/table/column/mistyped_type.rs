//! A mistyped type and a key that is no column.
#[derive(Clone, Debug, PartialEq)]
pub struct Point;
pub struct Bare;

#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: Point,
    pub name: Strng,
    pub bare: Bare,
}

fn main() {}
