//! Keys that no index finds rows by.
use nizhal::Json;

#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key)]
    pub tags: Vec<String>,
    #[nizhal(primary_key)]
    pub place: Json<(i64, i64)>,
}

fn main() {}
