//! How a database is reached, and what is kept of its mutations.

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    /// `postgres://…`, `sqlite://path` or `sqlite::memory:`.
    pub url: String,
    /// The most connections held open.
    pub pool: u32,
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
