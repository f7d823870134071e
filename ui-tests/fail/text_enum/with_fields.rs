//! Variants that hold more than their text.
#[nizhal::text_enum]
pub enum Status {
    Open,
    Closed(String),
    Lost { since: i64 },
}

fn main() {}
