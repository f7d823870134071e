//! Nizhal: offline-first apps whose data their owners keep.
//!
//! Annotate structs with [`table`], functions with [`mutator`], say who may see what with [`sync_rules!`], and run.

#[cfg(feature = "client")]
pub use nizhal_client as client;
pub use nizhal_core::*;
#[cfg(feature = "server")]
pub use nizhal_macros::main;
pub use nizhal_macros::{args, claims, id, job, mutator, sync_rules, table, text_enum};
#[cfg(feature = "server")]
pub use nizhal_runtime::*;

/// What an app's source files begin with.
pub mod prelude {
    #[cfg(feature = "server")]
    pub use crate::Nizhal;
    pub use crate::{
        Actor, Applied, Ctx, Date, DateTimeUtc, Decimal, JobCtx, Json, NonEmpty, Positive, Result, Table, TextEnum,
        Time, TimeDelta, Uuid, jobs, mutator, mutators, reject, sync_rules, tables,
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
    #[doc = include_str!("../book/src/rules.md")]
    struct Rules;
    #[doc = include_str!("../book/src/server.md")]
    struct Server;
    #[doc = include_str!("../book/src/operate.md")]
    struct Operate;
    #[cfg(feature = "client")]
    #[doc = include_str!("../book/src/device.md")]
    struct Device;
}
