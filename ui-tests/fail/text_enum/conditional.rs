//! A text that not every build knows.
#[nizhal::text_enum]
pub enum Status {
    Open,
    #[cfg(unix)]
    Closed,
}

fn main() {}
