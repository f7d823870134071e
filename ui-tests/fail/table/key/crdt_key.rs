//! A document as a key.
use nizhal::CrdtText;

#[nizhal::table]
pub struct Note {
    #[nizhal(primary_key)]
    pub body: CrdtText,
}

fn main() {}
