//! A document with a default.
use nizhal::CrdtText;

#[nizhal::table]
pub struct Note {
    #[nizhal(primary_key)]
    pub id: String,
    #[nizhal(default = "")]
    pub body: CrdtText,
}

fn main() {}
