//! A key of more columns than a cursor carries.

#[nizhal::table]
pub struct Seat {
    #[nizhal(primary_key)]
    pub hall: String,
    #[nizhal(primary_key)]
    pub block: String,
    #[nizhal(primary_key)]
    pub row: i32,
    #[nizhal(primary_key)]
    pub number: i32,
    #[nizhal(primary_key)]
    pub day: String,
}

fn main() {}
