//! How a database is reached, and what is kept of its mutations.

use crate::settings::without_password;
use std::fmt;

/// How to reach a database. `Debug` leaves the password out.
#[derive(Clone)]
pub struct StoreSettings {
    /// `postgres://…`, `sqlite://path` or `sqlite::memory:`.
    pub url: String,
    /// The most connections held open.
    pub pool: u32,
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, pool } = self;
        f.debug_struct("StoreSettings").field("url", &without_password(url)).field("pool", pool).finish()
    }
}

/// Whether entries are written, and with what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Audit {
    /// None are.
    #[default]
    Off,
    /// One for each mutation and job.
    On {
        /// Whether a mutation's arguments are kept.
        args: bool,
    },
}
