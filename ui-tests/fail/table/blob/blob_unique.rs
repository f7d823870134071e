//! A blob that one row alone is to name.
use nizhal::BlobRef;

#[nizhal::table]
pub struct Photo {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(unique)]
    pub image: Option<BlobRef>,
}

fn main() {}
