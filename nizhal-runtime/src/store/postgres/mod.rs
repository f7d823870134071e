//! Postgres: any server from 13 on, no superuser, no replication slot.

mod blob;
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
mod full_scan;
mod functions;
mod header;
mod horizon;
mod leave;
mod migrate;
mod namespace;
mod partition;
mod pooler;
mod pools;
mod provision;
mod pull;
mod purpose;
mod record;
mod renewal;

mod reset;
mod rewrite;
mod row_page;
mod rows;
mod statement;
mod store;
mod takeover;
mod trigger;
mod undo;

pub(super) use clock::{SOMETHING, holder};
pub(super) use end::TransactionEnd;
pub(super) use pull::PullReader;
pub(super) use purpose::Purpose;
pub(super) use record::RecordSql;
pub(super) use rows::Rows;
pub(super) use store::PostgresStore;
