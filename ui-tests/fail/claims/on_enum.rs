//! Claims that are no struct.

#[nizhal::claims]
enum Claims {
    User,
}

fn main() {}
