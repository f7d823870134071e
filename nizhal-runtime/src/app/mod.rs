//! The app: its builder, and the verbs of its binary.

mod backup;
mod build;
mod builder;
mod claims;
mod contract;
mod error;
mod job;
mod log;
mod print;
mod serve;
mod token;
mod verb;

pub use builder::{DevToken, Nizhal};
pub use error::StartError;
