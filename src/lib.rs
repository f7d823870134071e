//! Nizhal: offline-first apps whose data their owners keep.
//!
//! Annotate structs with [`table`], functions with [`mutator`], say who may see what with [`sync_rules!`], and run.

pub use nizhal_macros::{args, claims, id, job, mutator, sync_rules, table, text_enum};

// What an app declares, and what its functions are given and give back.
pub use nizhal_core::{
    Actor, Applied, Args, BlobHash, BlobRef, BlobRefError, Ctx, Date, DateTimeUtc, Decimal, Error, GuardedTransaction,
    Hlc, Job, JobCtx, Jobs, Json, JsonValue, Mime, Mutator, NonEmpty, Positive, Principal, Random, Result, Rules,
    ServerSide, SyncedTable, Table, TextEnum, Time, TimeDelta, UnknownText, Uuid,
};
#[cfg(feature = "crdt")]
pub use nizhal_core::{CrdtColumn, CrdtDocument, CrdtError, CrdtMap, CrdtText, CrdtUpdate};
pub use nizhal_core::{jobs, mutators, reject, tables};
// What a declaration becomes: the types that the lists of tables, mutators and jobs hold, and that rules are checked by.
pub use nizhal_core::{
    Bucket, Col, ColumnDefault, ColumnDesc, ColumnIndex, ColumnType, ConstColumn, JobDesc, JobEntry, Merge,
    MutatorDesc, MutatorEntry, ReplayEntry, SameType, ScopeColumn, SqlType, TableDesc,
};
// What rules are built of.
pub use nizhal_core::{
    ClaimOf, Condition, Conditions, ConstFilter, ConstValue, MemberFilter, MemberScope, OnDemand, Param, ParamDesc,
    ParamSource, Rule, RuleBuilder, RuleTable, ScopeValue, TableScope,
};

// The server: how it is built and set, who may come in, and what it tells of its work.
#[cfg(feature = "server")]
pub use nizhal_macros::main;
#[cfg(feature = "server")]
pub use nizhal_runtime::{
    AdmissionSettings, AuthError, Authenticator, BlobSettings, BlobStoreError, BlobStoreFault, BlobStoreSetting,
    BlobStoreUrl, ConflictEvent, ConnectionSettings, Cors, DevToken, ErrorEvent, Expected, Jwks, JwksSource, JwtHs256,
    JwtJwks, LogFormat, MimePattern, Mode, NatsSettings, Nizhal, Observer, Observers, PullEvent, PushEvent,
    PushedMutation, RateLimit, Realtime, RealtimeSettings, Server, Settings, SocketSettings, StartError,
    SystemEnvironment, auth::BoxFuture, engine::Environment, service, settings::DatabaseUrl,
};

/// The device: a local SQLite database, the same mutators for instant effect, a durable outbox.
#[cfg(feature = "client")]
pub mod client {
    pub use nizhal_client::{
        BlobError, BlobUpload, Blobs, Buckets, Client, Credentials, CredentialsError, DeadLetter, Effect, Mode,
        MutateError, Notice, OtherUser, Phase, Receipt, Revised, Saved, Setup, SetupError, Status, StoreError,
        SubscribeError, SubscribedBucket, Subscription, Unreadable,
        environment::{Clock, Connectivity, Ids, RandomIds, Switch, SystemClock},
        session::{Failure, FailureKind, Progress, Repair, Settings},
    };

    /// The way to a server, for those who bring one of their own.
    pub mod transport {
        pub use nizhal_client::exchange::Caller;
        pub use nizhal_client::transport::{
            BlobMethod, BlobRequest, Body, Frame, Frames, HttpTransport, Request, Response, Transport, TransportError,
            rustls,
        };
    }
}

/// Names that generated code refers to, and by which rustc leaves stand-ins out of its messages; not for people.
#[doc(hidden)]
pub use nizhal_core::{
    __broken_job, __broken_mutator, __entity, __id, __mutator, __narrowed, __private, __text_enum, entity, fallback,
};
#[cfg(feature = "server")]
#[doc(hidden)]
pub use nizhal_runtime::__private_server;

/// What an app's source files begin with.
pub mod prelude {
    #[cfg(feature = "server")]
    pub use crate::Nizhal;
    pub use crate::{
        Actor, Applied, BlobRef, Ctx, Date, DateTimeUtc, Decimal, JobCtx, Json, NonEmpty, Positive, Result, Table,
        TextEnum, Time, TimeDelta, Uuid, jobs, mutator, mutators, reject, sync_rules, tables,
    };
    #[cfg(feature = "crdt")]
    pub use crate::{CrdtMap, CrdtText, CrdtUpdate};
    pub use nizhal_core::__private::sea_orm::{
        self, ActiveModelTrait, ActiveValue::NotSet, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait,
        IntoActiveModel, ModelTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    };
}

/// The book's and the README's samples, compiled.
#[cfg(all(doctest, feature = "server"))]
mod book {
    #[doc = include_str!("../README.md")]
    struct Readme;
    #[doc = include_str!("../book/src/table.md")]
    struct Table;
    #[doc = include_str!("../book/src/mutator.md")]
    struct Mutator;
    #[doc = include_str!("../book/src/job.md")]
    struct Job;
    #[cfg(feature = "crdt")]
    #[doc = include_str!("../book/src/crdt.md")]
    struct Crdt;
    #[doc = include_str!("../book/src/replay.md")]
    struct Replay;
    #[doc = include_str!("../book/src/rules.md")]
    struct Rules;
    #[doc = include_str!("../book/src/server.md")]
    struct Server;
    #[doc = include_str!("../book/src/operate.md")]
    struct Operate;
    #[doc = include_str!("../book/src/blobs.md")]
    struct Blobs;
    #[cfg(feature = "client")]
    #[doc = include_str!("../book/src/device.md")]
    struct Device;
}
