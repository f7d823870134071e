//! Claims that do not say who.

#[nizhal::claims]
struct Claims {
    owner_id: String,
}

fn main() {}
