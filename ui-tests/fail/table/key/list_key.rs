//! Keys that no index finds rows by, or that have no one text.
use nizhal::Json;

#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key)]
    pub tags: Vec<String>,
    #[nizhal(primary_key)]
    pub place: Json<(i64, i64)>,
    #[nizhal(primary_key)]
    pub weight: f64,
    #[nizhal(primary_key)]
    pub hash: Vec<u8>,
}

fn main() {}
