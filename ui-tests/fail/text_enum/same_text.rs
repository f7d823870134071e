//! Two variants of one text.
#[nizhal::text_enum]
pub enum Status {
    Open,
    #[nizhal(rename = "open")]
    Opened,
    #[nizhal(rename = "")]
    Closed,
}

fn main() {}
