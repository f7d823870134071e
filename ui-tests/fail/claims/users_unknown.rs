//! Users that are neither global nor of their owner.

#[nizhal::claims(users = "tenant")]
struct Claims {
    user_id: String,
    owner_id: String,
}

fn main() {}
