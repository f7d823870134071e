//! Variants that are numbers.
#[nizhal::text_enum]
pub enum Status {
    Open = 1,
    Closed = 2,
}

fn main() {}
