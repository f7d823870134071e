//! How long a database may take to answer.

use std::time::Duration;

/// For a statement of ours: longer than a database waits for a lock.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// For a statement that the database itself limits.
pub(crate) const STATEMENT_TIMEOUT: Duration = Duration::from_secs(35);
