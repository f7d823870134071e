//! Lives of a database: from one start of it to the next.
//!
//! A disk that was restored from a copy of itself looks like one that was merely started again: the same cluster, the same
//! timeline, and a clock that soon draws the lost versions a second time. So each start begins a *life*, and what the one before had
//! reached is written down. A cursor says in which life it was made, and how far the database was by then. Where that life is not on
//! record, or ended before, the cursor tells of what was lost with it.
//!
//! How far a database is must be comparable with what was kept of it, exactly: on SQLite the version clock, which commits with
//! the rows. On Postgres not the clock, whose draws are neither committed in their order nor lost with the rows, but the
//! log: all that a horizon lets through is flushed when the horizon is read, and a start says where the log ended.
//!
//! Decision: book/src/decisions/pulling.md#the-cursor-names-an-incarnation-of-the-database

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Stands between where a database lives and which life of it this is.
pub(crate) const LIFE: char = '@';

/// Stands before the number that the version clock has in the catalogue; databases of before have none written down.
pub(crate) const CLOCK: char = '#';

/// A short name of a life, for cursors; it says no more than that.
pub(crate) fn name(home: &str) -> String {
    let incarnation = home.split(CLOCK).next().unwrap_or_default();
    URL_SAFE_NO_PAD.encode(&Sha256::digest(incarnation.as_bytes())[..9])
}

/// Whether two lives are of one history, as far as where they are led can tell.
pub(crate) fn is_restart(before: &str, now: &str) -> bool {
    let place = |home: &str| home.split([LIFE, CLOCK]).next().map(str::to_owned);
    let clock = |home: &str| home.split_once(CLOCK).map(|(_, number)| number.to_owned());
    place(before) == place(now) && (clock(before).is_none() || clock(before) == clock(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv10_a_start_is_not_a_move() {
        assert!(is_restart("7-5-00000001", "7-5-00000001@1700000000.5"));
        assert!(is_restart("7-5-00000001@1", "7-5-00000001@2"));
        assert!(!is_restart("7-5-00000001@1", "7-5-00000002@1"));
        assert!(!is_restart("7-5-00000001@1", "8-5-00000001@1"));
        assert_ne!(name("a@1"), name("a@2"));
        assert!(is_restart("7-5-00000001@1", "7-5-00000001@2#16"));
        assert!(is_restart("7-5-00000001@1#16", "7-5-00000001@2#16"));
        assert!(!is_restart("7-5-00000001@1#16", "7-5-00000001@1#17"));
        assert!(!is_restart("", "7-5-00000001@1#17"));
        assert_eq!(name("a@1"), name("a@1#16"));
    }
}
