//! A blob that is to name the rows.
use nizhal::BlobRef;

#[nizhal::table]
pub struct Photo {
    #[nizhal(primary_key)]
    pub image: BlobRef,
}

fn main() {}
