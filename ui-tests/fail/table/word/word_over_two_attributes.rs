//! A word that is written again in another attribute of the same field.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(unique, rename = "first")]
    #[nizhal(rename = "second")]
    pub name: String,
}

fn main() {}
