//! A table without a primary key.
#[nizhal::table]
pub struct Customer {
    pub id: String,
    pub name: String,
}

fn main() {}
