//! Who is asking: the app's own claims type, and the erased form that the runtime carries.

use crate::DateTimeUtc;
use serde::{Serialize, de::DeserializeOwned};
use std::{any::Any, fmt, sync::Arc};

/// The app's claims: what a token says of its bearer. Written by `#[nizhal::claims]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a claims type",
    label = "not annotated",
    note = "annotate the struct with #[nizhal::claims]; it needs `user_id: String` and `owner_id: String`"
)]
pub trait Actor: DeserializeOwned + Serialize + Clone + Send + Sync + 'static {
    /// Whether a user's id names one person among all tenants. Where it does not (`#[nizhal::claims(users = "per_owner")]`), a rule
    /// that goes by the user compares the tenant too.
    const USERS_ARE_GLOBAL: bool = true;

    /// The user.
    fn user_id(&self) -> &str;
    /// The tenant that the user belongs to.
    fn owner_id(&self) -> &str;
}

/// A verified actor, with the app's claims behind a type-erased pointer.
#[derive(Clone)]
pub struct Principal {
    user_id: String,
    key: String,
    expires_at: Option<DateTimeUtc>,
    claims: Arc<dyn Any + Send + Sync>,
}

impl Principal {
    /// Wraps verified claims; `expires_at` is when the credential ends.
    pub fn new<A: Actor>(claims: A, expires_at: Option<DateTimeUtc>) -> Self {
        let key = serde_json::json!([claims.owner_id(), claims.user_id()]).to_string();
        Self { user_id: claims.user_id().to_owned(), key, expires_at, claims: Arc::new(claims) }
    }

    /// The user's id.
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// One text for tenant and user together: what a stored answer or a `clientID` belongs to.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When the credential ends, if it does.
    pub fn expires_at(&self) -> Option<DateTimeUtc> {
        self.expires_at
    }

    /// The claims as the app's type; `None` when `A` is not that type.
    pub fn claims<A: 'static>(&self) -> Option<&A> {
        self.claims.downcast_ref()
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Principal")
            .field("key", &self.key)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
