//! A key that the database would compute.
#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key, generated = "lower(name)")]
    pub id: String,
    pub name: String,
}

fn main() {}
