//! A document that is to be unique.
use nizhal::CrdtMap;

#[nizhal::table]
pub struct Note {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(unique)]
    pub tags: Option<CrdtMap>,
}

fn main() {}
