//! Postgres: any server from 13 on, no superuser, no replication slot.

mod capture;
mod channel;
mod clock;
#[cfg(test)]
mod clock_model;
mod drift;
mod encode;
mod end;
mod field;
mod found;
mod horizon;
mod leave;
mod migrate;
mod namespace;
mod partition;
mod pooler;
mod pools;
mod provision;
mod pull;
mod renewal;
mod reset;
mod full_scan;
mod rewrite;
mod record;
mod statement;
mod store;
mod takeover;
mod trigger;

pub(super) use clock::{SOMETHING, holder};
pub(super) use end::Ending;
pub(super) use provision::Purpose;
pub(super) use pull::{Rows, PullReader};
pub(super) use record::{RecordSql, kind};
pub(super) use store::PostgresStore;
