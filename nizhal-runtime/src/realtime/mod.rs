//! Realtime: who listens to which bucket, the pings that tell them to pull, and who else is there.

mod hub;
mod outside;
mod presence;
mod queue;

pub use hub::{Hub, HubStats, Listener};
pub(crate) use outside::ping_for_others;
pub use presence::{Presence, PresenceDiff, PresenceState, Seat};
pub use queue::Batch;
