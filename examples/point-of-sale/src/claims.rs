//! Who asks: what a token says of its bearer.

/// Somebody who works at a till.
#[nizhal::claims]
pub struct Claims {
    /// The person.
    pub user_id: String,
    /// The company that the person works for.
    pub owner_id: String,
}
