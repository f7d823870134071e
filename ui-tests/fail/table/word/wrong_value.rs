//! Words with the wrong values.
#[nizhal::table(name = customers, merge = "newest")]
pub struct Customer {
    #[nizhal(primary_key = true)]
    pub id: String,
    #[nizhal(unique, unique)]
    pub name: String,
}

fn main() {}
