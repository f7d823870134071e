//! Realtime: who listens to which bucket, the pings that tell them to pull, and who else is there.

mod hub;
mod presence;
mod queue;

pub use hub::{Hub, HubStats, Listener};
pub use presence::{Presence, PresenceDiff, PresenceState, Seat};
pub use queue::Batch;
