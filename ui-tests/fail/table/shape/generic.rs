//! A generic table.
#[nizhal::table]
pub struct Customer<T> {
    #[nizhal(primary_key)]
    pub id: String,
    pub extra: T,
}

fn main() {}
