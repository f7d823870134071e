//! Who asks: what a token says of its bearer.

/// A member of a shop's staff.
#[nizhal::claims]
pub struct Claims {
    /// The person.
    pub user_id: String,
    /// The business that the person belongs to.
    pub owner_id: String,
    /// The shop that the person works in now; mutations write there.
    pub shop_id: Option<String>,
}
