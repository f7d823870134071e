//! Blobs that the database would not find.
use nizhal::{BlobRef, Json};

#[nizhal::table]
pub struct Note {
    #[nizhal(primary_key)]
    pub id: String,
    pub images: Vec<BlobRef>,
    pub more: Option<Json<Vec<BlobRef>>>,
}

fn main() {}
