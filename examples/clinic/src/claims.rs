//! Who asks: what a token says of its bearer.

/// A nurse.
#[nizhal::claims]
pub struct Claims {
    /// The person.
    pub user_id: String,
    /// The health service that the person works for.
    pub owner_id: String,
    /// What others call the person: it stands in slots, and in the reasons of refusals.
    pub name: String,
}
