//! A blob that the database is to compute, and one with a default.
use nizhal::BlobRef;

#[nizhal::table]
pub struct Photo {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(default = "")]
    pub image: BlobRef,
    #[nizhal(generated = "image")]
    pub small: BlobRef,
}

fn main() {}
