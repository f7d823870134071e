//! Two columns of one name.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub name: String,
    #[nizhal(rename = "name")]
    pub title: String,
}

fn main() {}
