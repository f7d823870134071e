//! Ids of other types.

#[nizhal::claims]
struct Claims {
    user_id: i64,
    owner_id: Option<String>,
}

fn main() {}
