//! Words that attributes do not have.
#[nizhal::table(nam = "customers")]
pub struct Customer {
    #[nizhal(primary_kye)]
    pub id: String,
    #[nizhal(index)]
    pub name: String,
}

fn main() {}
