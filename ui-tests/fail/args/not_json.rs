//! A field that no JSON gives.

struct Plain;

#[nizhal::args]
struct Act {
    plain: Plain,
}

fn main() {}
