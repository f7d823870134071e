//! What an alias hides from the macro.
use nizhal::BlobRef;

type Image = BlobRef;

#[nizhal::table]
pub struct Photo {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(unique)]
    pub image: Image,
}

fn main() {}
