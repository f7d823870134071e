//! Generic arguments.

#[nizhal::args]
struct Act<T> {
    id: T,
}

fn main() {}
