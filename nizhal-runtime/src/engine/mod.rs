//! The engine: what a pull, a push and a scope are. It decides; clock, randomness and I/O are passed in.

mod cursor;
mod error;
mod image;
mod incarnation;
pub(crate) mod job;
mod lane;
mod lines;
mod narrowing;
mod page;
mod predictor;
mod pull;
mod push;
mod quota;
mod reruns;
mod start;
mod state;
mod total;

pub use crate::environment::Environment;
pub use error::{PullError, ScopeError};
pub use image::{Demand, ImageError, ImageFileAnswer, ImageReader, ImageStore, ImageStoreError, Making};
pub use job::EnqueueError;
pub use lines::{Line, LineReader};
pub use pull::PullPage;
pub use push::{Answer, Ids, PushError, PushReply, Verdict};
pub use reruns::ReplayBounds;
pub use state::Engine;
pub(crate) use state::Keys;
