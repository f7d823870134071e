//! An enum of anything.
#[nizhal::text_enum]
pub enum Status<T> {
    Open,
    Other(T),
}

fn main() {}
