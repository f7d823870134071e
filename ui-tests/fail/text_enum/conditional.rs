//! A text that not every build knows.
#[nizhal::text_enum]
pub enum Status {
    Open,
    #[cfg(feature = "more")]
    Closed,
}

fn main() {}
