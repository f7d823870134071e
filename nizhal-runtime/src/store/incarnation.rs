//! The incarnations of a database: each lasts from one start of it to the next.
//!
//! A disk that was restored from a copy of itself looks like one that was merely started again: the same cluster, the same
//! timeline, and a clock that soon draws the lost versions a second time. So each start begins an *incarnation*, and what the one before
//! had reached is recorded. A cursor names the incarnation in which it was made, and how far the database was by then. Where that
//! incarnation is not on record, or ended before, the cursor shows what was lost with it.
//!
//! How far a database is must be comparable with what was kept of it, exactly: on SQLite the version clock, which commits with
//! the rows. On Postgres not the clock, whose draws are neither committed in their order nor lost with the rows, but the
//! log: all that a horizon lets through is flushed when the horizon is read, and a start says where the log ended.
//!
//! Decision: book/src/decisions/pulling.md#the-cursor-names-an-incarnation-of-the-database

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Stands between the cluster's identity and the start of the incarnation.
pub(crate) const START_SIGN: char = '@';

/// Stands before the number that the version clock has in the catalogue; databases of before have none written down.
pub(crate) const CLOCK_SIGN: char = '#';

/// A short name of an incarnation, for cursors; it says no more than that.
pub(crate) fn name(incarnation: &str) -> String {
    let incarnation = incarnation.split(CLOCK_SIGN).next().unwrap_or_default();
    URL_SAFE_NO_PAD.encode(&Sha256::digest(incarnation.as_bytes())[..9])
}

/// Whether two incarnations are of one history, as far as their clusters can tell.
pub(crate) fn is_restart(before: &str, now: &str) -> bool {
    let cluster_id = |incarnation: &str| incarnation.split([START_SIGN, CLOCK_SIGN]).next().map(str::to_owned);
    let clock = |incarnation: &str| incarnation.split_once(CLOCK_SIGN).map(|(_, number)| number.to_owned());
    cluster_id(before) == cluster_id(now) && (clock(before).is_none() || clock(before) == clock(now))
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
