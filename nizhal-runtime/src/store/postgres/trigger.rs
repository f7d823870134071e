//! The triggers of our tables in the catalog of Postgres, and the tables themselves.

use crate::store::{
    sql::{literal, quote},
    triggers::TABLES,
};
use std::collections::BTreeSet;

/// Begins the names of the triggers that fire only where `session_replication_role` is `replica`.
pub(super) const APPLIED: &str = "_nizhal_applied_";

/// What is asked of the catalog.
pub(super) struct TriggersSql {
    /// The fingerprint of what a push relies on: the triggers, and that nothing hides or adds rows.
    pub(super) capture: String,
    /// The same, and behind [`TABLES`] that of the tables, for pulls.
    pub(super) whole: String,
    /// The whole fingerprint, and each trigger that is switched on.
    pub(super) found: String,
}

/// The statements about these tables and their triggers on Postgres, as SQL.
///
/// Each change of a trigger writes its row of the catalog anew, under the transaction that does it, and so does each change of a
/// table that hides rows from us or rewrites them: row-level security, an heir, another type of a column. Only heirs after the first
/// and the rights of our own role leave no trace there. A mutation may `truncate`, which writes the table's row as well, so what a
/// push reads is without those. Triggers that always fire also do where `session_replication_role` says that none should.
pub(super) fn triggers_sql(tables: &BTreeSet<&str>) -> TriggersSql {
    let tables: Vec<String> = tables.iter().map(|table| format!("{}::regclass", literal(&quote(table)))).collect();
    let tables = tables.join(", ");
    let (of_ours, is_ours) = match tables.as_str() {
        "" => ("false".to_owned(), "false".to_owned()),
        tables => {
            (format!("t.tgrelid in ({tables}) and t.tgname like '\\_nizhal\\_%'"), format!("c.oid in ({tables})"))
        }
    };
    let is_on = format!(
        "(t.tgenabled = 'A' or t.tgenabled = 'O' and current_setting('session_replication_role') <> 'replica' \
         or t.tgenabled = 'R' and starts_with(t.tgname::text, '{APPLIED}'))"
    );
    let capture = format!(
        "select count(*) filter (where {is_on}) || ' ' || coalesce(sum(t.xmin::text::int8), 0) || ' ' || (select \
         coalesce(string_agg(case when c.relrowsecurity and row_security_active(c.oid) then ' hidden' else '' end \
         || case when c.relkind = 'r' and c.relhassubclass then ' ' || (select count(*) from pg_inherits i where i.inhparent = c.oid) \
         else '' end, ',' order by c.oid), '') from pg_class c where {is_ours}) from pg_trigger t where {of_ours}"
    );
    let whole = format!(
        "select ({capture}) || '{TABLES}' || coalesce(string_agg(c.xmin::text, ',' order by c.oid), '') from pg_class c where {is_ours}"
    );
    let found = format!(
        "select f.fingerprint, t.tgrelid::regclass::text || ' ' || t.tgname as found from (select ({whole}) as fingerprint) f \
         left join pg_trigger t on {of_ours} and {is_on}"
    );
    TriggersSql { capture, whole, found }
}
