//! A table that is no struct.

#[nizhal::table]
pub enum Customer {
    One,
}

fn main() {}
