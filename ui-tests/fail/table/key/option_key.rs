//! A key that may be empty.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: Option<String>,
}

fn main() {}
