//! Nizhal on a device: a local SQLite database that the app reads with sea-orm, the same mutators as on the server for instant
//! effect, a durable outbox, and sync that cannot get stuck unnoticed.
//!
//! [`Client`] is what an app holds. Below it, and usable apart from it: [`session`] decides (a pure state machine), [`store`] keeps
//! (a SQLite file), [`transport`] carries, [`exchange`] speaks the wire.

mod blob;
mod client;
mod driver;
pub mod environment;
pub mod exchange;
mod image;
pub mod schema;
pub mod session;
mod setup;
pub mod store;
mod subscription;
pub mod transport;
mod watch;
mod wire;

#[doc(hidden)]
pub use blob::upload_next;
pub use blob::{BlobError, BlobUpload, Blobs};
pub use client::{Client, Mode, Receipt};
// What a simulator drives in the driver's place.
#[doc(hidden)]
pub use driver::{Answered, ReceivedAnswer, run_store_action};
pub use environment::{Credentials, CredentialsError};
pub use session::{Phase, Status};
pub use setup::{Setup, SetupError};
pub use store::{DeadLetter, Effect, MutateError, Notice, OtherUser, Revised, Saved, StoreError, Unreadable};
pub use subscription::{Buckets, SubscribeError, SubscribedBucket, Subscription};
