//! The engine: what a pull, a push and a scope are. It decides; clock, randomness and I/O are passed in.

mod bucket;
mod cursor;
mod job;
mod page;
mod pull;
mod push;
mod scope;

pub use bucket::Bucket;
pub use job::EnqueueError;

use crate::{
    realtime::Hub,
    schema::Schema,
    store::{Store, StoreError},
};
use nizhal_core::{DateTimeUtc, HlcClock, NodeId, Principal, TableDesc, Uuid};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Where time and ids come from; the server's are real, a test's are its own.
pub trait Environment: Send + Sync + 'static {
    /// The wall clock, in UTC.
    fn now(&self) -> DateTimeUtc;
    /// A fresh UUID v7.
    fn new_id(&self) -> Uuid;
}

/// One app's engine over one store.
pub struct Engine {
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: Store,
    pub(crate) hub: Hub,
    pub(crate) environment: Arc<dyn Environment>,
    pub(crate) hlc: Mutex<HlcClock>,
    /// Wakes a worker of this process.
    pub(crate) job_wake: Notify,
    /// The synced tables; a table's place is its slot.
    tables: Vec<&'static TableDesc>,
    /// Changes when the rules do.
    fingerprint: String,
}

/// One answer of a pull: the JSON body, ready to send.
#[derive(Debug)]
pub struct PullPage {
    /// The response body.
    pub body: Vec<u8>,
    /// Whether it carries `cursorReset`.
    pub reset: bool,
}

/// Why a pull had no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PullError {
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
}

/// What a push did: what applied, and the failure that ended it.
#[derive(Debug, Default)]
pub struct PushReply {
    /// The `clientMutationId`s that are applied, replays included, in order.
    pub applied: Vec<String>,
    /// For each `clientID` of the batch, in order of first use: its last mutation.
    pub sequences: Vec<(String, i64)>,
    /// The first failure; nothing after it ran.
    pub failure: Option<PushFailure>,
}

/// Why a mutation did not apply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushFailure {
    /// 400 `unknown_mutator`.
    #[error("no mutator is named `{0}`")]
    UnknownMutator(String),
    /// 403 `forbidden`.
    #[error("the mutation writes outside the actor's buckets; all of it was rolled back")]
    Forbidden,
    /// 403 `client_id_taken`.
    #[error("this clientID belongs to another actor; use a fresh one")]
    ClientIdTaken,
    /// 409 `out_of_order`.
    #[error("mutation {got} is out of order: the last one seen was {last}")]
    OutOfOrder {
        /// The number that came.
        got: i64,
        /// The last number seen.
        last: i64,
    },
    /// 422 `rejected`.
    #[error("{0}")]
    Rejected(String),
    /// 422 `invalid_args`.
    #[error("{0}")]
    InvalidArgs(String),
    /// 503 when the database could not be reached or stayed busy, else 500.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// 500 `internal`: a mutator's own fault.
    #[error("internal fault")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Engine {
    /// An engine over a provisioned store.
    pub fn new(schema: Arc<Schema>, store: Store, hub: Hub, environment: Arc<dyn Environment>, node: NodeId) -> Self {
        let (tables, fingerprint) = (schema.synced(), schema.fingerprint());
        let (hlc, job_wake) = (Mutex::new(HlcClock::new(node)), Notify::new());
        Self { schema, store, hub, environment, hlc, job_wake, tables, fingerprint }
    }

    /// The actor's buckets now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn scope(&self, principal: &Principal) -> Result<Vec<Bucket>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let frame = snapshot.frame(&self.store.scope_args(principal)).await?;
        snapshot.close().await?;
        Ok(scope::buckets(&self.schema, principal, &frame.members).into_iter().collect())
    }

    /// Whether the database answers and is provisioned.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), StoreError> {
        // Taking it asks the engine's functions and the control row, so it fails where they are absent.
        self.store.snapshot().await?.close().await
    }
}
