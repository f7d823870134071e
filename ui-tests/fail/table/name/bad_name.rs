//! Names that are no identifiers.
#[nizhal::table(name = "my customers")]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
}

fn main() {}
