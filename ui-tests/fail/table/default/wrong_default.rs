//! Defaults that do not fit their columns.
#[nizhal::table]
pub struct Customer {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(default = now)]
    pub name: String,
    #[nizhal(default = "many")]
    pub points: i64,
    #[nizhal(default = 70000)]
    pub level: i16,
    #[nizhal(default = 1.5)]
    pub rate: f64,
}

fn main() {}
