//! A misspelt word, and one that only tables have.
#[nizhal::text_enum]
pub enum Status {
    #[nizhal(renam = "x")]
    Open,
    #[nizhal(unique)]
    Closed,
}

fn main() {}
