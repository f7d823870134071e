//! The hub: who listens to which bucket in this process, the pings that tell them to pull, and who else is there.

mod diff;
pub(crate) mod message;
pub(crate) mod outbox;
mod presence;
mod pubsub;
mod queue;
mod scope_cell;

pub use diff::{PresenceDiff, PresenceState};
pub(crate) use presence::PresenceLimits;
pub use presence::{Presence, PresenceFull, PresenceHandle};
pub use pubsub::{Hub, HubStats, Listener};
pub use queue::Batch;
pub(crate) use scope_cell::{CachedScope, ScopeCell};
