//! A generated column is not the app's to write.
use nizhal::prelude::*;

#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(generated = "length(id)")]
    pub length: i64,
}

fn main() {
    let _ = ItemActive { id: Set("a".to_owned()), length: Set(1) };
}
