//! SQLite: one file, one writer, readers beside it.

mod blob;
mod capture;
mod drift;
mod encode;
mod field;
mod free_space;
mod group;
mod guard;
mod provision;
mod pull;
mod record;

mod reset;
mod scan;
mod store;
mod txn;
mod undo;

pub(super) use group::CommitSlot;
pub(super) use pull::{Lanes, PullReader};
pub(super) use record::{kind, record_sql};
pub(super) use scan::value_of;
pub(super) use store::SqliteStore;
pub(super) use txn::{clear_write_set, line};
