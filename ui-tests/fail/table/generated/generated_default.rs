//! A default beside what the database computes.
#[nizhal::table]
pub struct Item {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(generated = "length(id)", default = 0)]
    pub length: i64,
    #[nizhal(generated = "null")]
    pub deleted_at: Option<nizhal::DateTimeUtc>,
}

fn main() {}
