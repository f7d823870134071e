//! What a Nizhal server and a Nizhal client share: descriptions, wire types, `Ctx`, HLC, errors.
//!
//! Everything an app declares becomes *data* here: a [`Table`] is described by a [`TableDesc`], a [`Mutator`] by a
//! [`MutatorDesc`], rules by [`Rule`]s. The runtime reads those descriptions; generated code holds no logic.

mod actor;
mod blob;
#[doc(hidden)]
pub mod bucket;
mod column;
#[cfg(feature = "crdt")]
mod crdt;
mod ctx;
mod decimal;
mod describe;
#[doc(hidden)]
pub mod entity;
mod error;
#[doc(hidden)]
pub mod fallback;
mod hlc;
mod id;
mod ids;
#[doc(hidden)]
pub mod image;
mod job;
mod json;
pub mod key;
pub mod limits;
mod list;
#[doc(hidden)]
pub mod local;
mod mutator;
mod open_file;
mod private_file;
mod random;
mod rule;
mod server;
#[doc(hidden)]
pub mod sql;
mod stored;
mod table;
#[doc(hidden)]
pub mod text_enum;
mod transaction;
mod value;
pub mod wire;

pub use actor::{Actor, Principal};
#[doc(hidden)]
pub use blob::find_blobs;
pub use blob::{BlobHash, BlobRef, BlobRefError, Mime};
pub use bucket::Bucket;
pub use column::{Col, ColumnType, ConstColumn, SameType, ScopeColumn};
#[cfg(feature = "crdt")]
pub use crdt::{CrdtColumn, CrdtDocument, CrdtError, CrdtMap, CrdtText, CrdtUpdate};
pub use ctx::{Ctx, CtxParts};
pub use decimal::Decimal;
pub use describe::{ColumnDefault, ColumnDesc, ColumnIndex, Crdt, JsonCheck, Merge, SqlType, TableDesc};
pub use error::{Error, Result};
pub use hlc::{Hlc, HlcClock, HlcParseError, NodeId};
pub use ids::MutationIds;
pub use job::{Job, JobCtx, JobDesc, JobEntry, JobParts, JobRun, Jobs, NewJob};
pub use json::{Json, JsonValue};
pub use mutator::{Applied, Args, Called, Mutator, MutatorDesc, MutatorEntry, ReplayEntry};
#[doc(hidden)]
pub use open_file::{Displaced, OpenFile};
pub use private_file::{create_private, make_private};
pub use random::Random;
pub use rule::{
    ClaimOf, Condition, Conditions, ConstFilter, ConstValue, DEFAULT_PRIORITY, MemberFilter, MemberScope, OnDemand,
    Param, ParamDesc, ParamSource, Rule, RuleBuilder, RuleTable, Rules, ScopeValue, TableScope,
};
pub use server::{ActorScope, OfOneTable, ServerParts, ServerSide};
pub use table::{SyncedTable, Table};
pub use text_enum::{TextEnum, UnknownText};
pub use transaction::GuardedTransaction;
pub use value::{NonEmpty, Positive};

/// UTC timestamps with microseconds, `timestamptz` in SQL.
pub type DateTimeUtc = chrono::DateTime<chrono::Utc>;
/// A calendar date, `date` in SQL.
pub type Date = chrono::NaiveDate;
/// A time of day, `time` in SQL.
pub type Time = chrono::NaiveTime;
/// A span of time, to add to others.
pub type TimeDelta = chrono::TimeDelta;
/// A UUID, `uuid` in SQL.
pub type Uuid = uuid::Uuid;

/// Names that generated code refers to; not for people.
#[doc(hidden)]
pub mod __private {
    pub use schemars;
    pub use sea_orm;
    pub use serde;
    pub use serde_json;
    pub use std::{boxed::Box, option::Option, pin::Pin, result::Result, string::String, string::ToString, vec::Vec};

    pub use crate::rule::{keyed, narrowed};

    /// Demands that a type is a claims type, where rustc can say so in `Actor`'s words.
    pub const fn claims<A: crate::Actor>() {}

    /// Refuses, when a rule is compiled, users that it does not tell apart.
    pub const fn users_are_told_apart<A: crate::Actor>() {
        assert!(
            A::USERS_ARE_GLOBAL,
            "a user's id names one person in its tenant alone (`users = \"per_owner\"`), and this rule goes by the user without the \
             tenant: somebody of another tenant with the same id would get these rows; compare `actor.owner_id` too"
        );
    }

    /// The value that names the bucket of a replayed mutation, with its type in Rust.
    #[derive(Debug)]
    pub struct BucketValue<C> {
        /// The value.
        pub value: crate::ScopeValue,
        of: std::marker::PhantomData<fn() -> C>,
    }

    /// Names a bucket by this value.
    pub fn bucket_value<C: crate::ScopeColumn>(value: &C) -> BucketValue<C> {
        BucketValue { value: value.to_scope(), of: std::marker::PhantomData }
    }

    /// The SQL type of the values that a function names buckets by.
    pub const fn bucket_type<A, C: crate::ScopeColumn>(_: fn(&A) -> BucketValue<C>) -> crate::SqlType {
        C::SQL
    }

    /// A boxed future that may cross threads.
    pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    /// A mutator at work.
    pub type Running<'a> = BoxFuture<'a, crate::Result<crate::Applied>>;

    /// A job at work.
    pub type Working<'a> = BoxFuture<'a, crate::Result<()>>;
}
