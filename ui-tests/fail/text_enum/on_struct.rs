//! A struct as an enum of texts.
#[nizhal::text_enum]
pub struct Status {
    open: bool,
}

fn main() {}
