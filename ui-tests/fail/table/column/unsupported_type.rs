//! Types that no column holds.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub count: u64,
    pub tags: Option<Vec<String>>,
    pub letter: Option<char>,
}

fn main() {}
