//! No text at all.
#[nizhal::text_enum]
pub enum Status {}

fn main() {}
