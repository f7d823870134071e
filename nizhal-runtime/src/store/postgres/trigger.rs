//! The triggers of our tables in the catalog of Postgres.

use crate::store::sql::{literal, quote};
use std::collections::BTreeSet;

/// The fingerprint on Postgres of the triggers of these tables, and each of them that is switched on, as SQL.
///
/// Each change of a trigger writes its row of the catalog anew, under the transaction that does it. Those that always fire also do
/// where `session_replication_role` says that none should.
pub(super) fn triggers_sql(tables: &BTreeSet<&str>) -> (String, String) {
    let tables: Vec<String> = tables.iter().map(|table| format!("{}::regclass", literal(&quote(table)))).collect();
    let of_ours = match tables.as_slice() {
        [] => "false".to_owned(),
        tables => format!("t.tgrelid in ({}) and t.tgname like '\\_nizhal\\_%'", tables.join(", ")),
    };
    let is_on = "(t.tgenabled = 'A' or t.tgenabled = 'O' and current_setting('session_replication_role') <> 'replica')";
    let fingerprint = format!(
        "select count(*) filter (where {is_on}) || ' ' || coalesce(sum(t.xmin::text::int8), 0) from pg_trigger t where {of_ours}"
    );
    let found = format!(
        "select f.fingerprint, t.tgrelid::regclass::text || ' ' || t.tgname as found from (select ({fingerprint}) as fingerprint) f \
         left join pg_trigger t on {of_ours} and {is_on}"
    );
    (fingerprint, found)
}
