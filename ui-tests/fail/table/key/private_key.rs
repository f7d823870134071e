//! A key that devices cannot see.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key, private, unique)]
    pub id: String,
}

fn main() {}
