//! Names that the engine keeps.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    pub _meta: String,
    #[nizhal(rename = "_nizhal_version")]
    pub version: i64,
}

fn main() {}
