//! Realtime: who listens to which bucket, and the pings that tell them to pull.

mod hub;

pub use hub::Hub;
