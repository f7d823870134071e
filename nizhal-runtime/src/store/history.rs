//! What a database has of its history for devices: where a table of it was lost, it begins another.

use super::{
    ddl::{Seed, engine_tables},
    sql::{Dialect, literal},
};

/// The tables without which the cursors and the numbers of devices are no good: what was deleted, what is answered, and which buckets a
/// cursor had. (`_nizhal_deletes`, the jobs, the counters and the audit log are no device's; `_nizhal_lives` and `_nizhal_partitions` are
/// younger than the version of the parts, so that their absence tells nothing.)
const HISTORY: [&str; 4] = ["_nizhal_tombstones", "_nizhal_clients", "_nizhal_mutations", "_nizhal_bucket_sets"];

/// Begins a new epoch, where the database is one of this version and lacks a table that kept its history. One of an earlier version may
/// never have had it.
pub(crate) fn lost_history(
    dialect: Dialect,
    seed: &Seed,
    is_current: bool,
    has: impl Fn(&str) -> bool,
) -> Option<String> {
    let tables = engine_tables(dialect);
    let is_lost = tables.iter().any(|(name, _)| HISTORY.contains(name) && !has(name));
    (is_current && is_lost).then(|| format!("{NEW_EPOCH}{} where id = 1", literal(&seed.epoch)))
}

/// How the statement of a new epoch begins.
const NEW_EPOCH: &str = "update _nizhal_control set epoch = ";

/// Says in the log what a plan does to devices.
pub(crate) fn tell_lost_history(plan: &[String]) {
    if plan.iter().any(|statement| statement.starts_with(NEW_EPOCH)) {
        tracing::warn!(
            "a table of the engine was gone and with it what devices have not heard of; the database has a new epoch, and every device starts \
             again"
        );
    }
}
