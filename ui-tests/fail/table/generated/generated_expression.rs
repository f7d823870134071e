//! More than one expression.
#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(generated = "1) stored, evil text default (2")]
    pub total: i64,
}

fn main() {}
