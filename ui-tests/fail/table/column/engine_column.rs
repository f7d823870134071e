//! A column that the engine reads, of another type.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub updated_at: String,
}

fn main() {}
