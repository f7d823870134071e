//! The statements that end mutations on SQLite, in one text.

use crate::store::{sql::placeholders, triggers::SQLITE_FINGERPRINT};

/// What a row of the answer is, by its column `kind`.
pub(in crate::store) mod kind {
    /// A line of the write set.
    pub(in crate::store) const WRITTEN: i64 = 0;
    /// A result that was stored.
    pub(in crate::store) const STORED: i64 = 1;
    /// The state of the file and of the transaction.
    pub(super) const STATE: i64 = 2;
}

/// The placeholders before those of the results: actor, client, version before, last number, number acknowledged.
const FIRST: usize = 5;
/// The columns of a result.
const RESULT: usize = 9;

/// Reads the write set and ends it with the stamp, reads what else is judged, stores so many results, and uses up the client's numbers.
pub(in crate::store) fn record_sql(results: usize) -> String {
    let version = "coalesce((select txn from _nizhal_control where id = 1), $3)";
    let row = |at: usize| format!("($1, $2, {version}, {})", placeholders(FIRST + at * RESULT, RESULT));
    let rows: Vec<String> = (0..results).map(row).collect();
    format!(
        "delete from _nizhal_touched returning {} as kind, cast(note as blob) as note;
         update _nizhal_control set hlc = null where id = 1 and hlc is not null;
         select {} as kind, ({SQLITE_FINGERPRINT}) as triggers, (select count(*) from sqlite_temp_schema) as temporary,
           txn as version, rules from _nizhal_control where id = 1;
         insert into _nizhal_mutations (actor, client_id, version, client_mutation_id, mutation_id, name, status, reason, result,
           client_ref, server_id, lost) values {} on conflict (actor, client_mutation_id) do nothing returning {} as kind;
         update _nizhal_clients set last_mutation_id = $4, last_version = {version}, acknowledged = max(acknowledged, $5),
           seen_at = current_timestamp where client_id = $2",
        kind::WRITTEN,
        kind::STATE,
        rows.join(", "),
        kind::STORED,
    )
}
