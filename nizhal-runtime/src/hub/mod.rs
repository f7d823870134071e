//! The hub: who listens to which bucket in this process, the pings that tell them to pull, and who else is there.

mod diff;
mod scope_cell;
pub(crate) mod message;
pub(crate) mod outbox;
mod presence;
mod pubsub;
mod queue;

pub use diff::{PresenceDiff, PresenceState};
pub(crate) use scope_cell::{ScopeCell, CachedScope};
pub(crate) use presence::PresenceLimits;
pub use presence::{Presence, PresenceFull, PresenceHandle};
pub use pubsub::{Hub, HubStats, Listener};
pub use queue::Batch;
