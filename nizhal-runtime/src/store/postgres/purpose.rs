//! What a plan of statements is made for.

/// The purpose of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Purpose {
    /// All that the database should have.
    Migrate,
    /// What a server cannot do without: a partition that is newer than the last `migrate` is looked at from time to time.
    Serve,
}
