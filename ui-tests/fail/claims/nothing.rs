//! Claims that say nothing.

#[nizhal::claims]
struct Claims {
}

fn main() {}
