//! The triggers of our tables and their partitions in the catalog of Postgres, and the tables themselves.

use crate::store::{
    sql::{literal, quote},
    triggers::{PARTITIONS, TABLES},
};
use std::collections::BTreeSet;

/// Begins the names of the triggers that fire only where `session_replication_role` is `replica`.
pub(super) const APPLIED: &str = "_nizhal_applied_";

/// The queries to the catalog.
pub(super) struct TriggersSql {
    /// The fingerprint of what a push relies on: the triggers, and that nothing hides or adds rows.
    pub(super) capture: String,
    /// The same, and behind [`TABLES`] that of the tables, for pulls.
    pub(super) whole: String,
    /// Whether the row `c` of `pg_class` is one of the tables.
    pub(super) is_ours: String,
    /// The whole fingerprint, each trigger of a table that is switched on, and each partition with one that is not.
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
    let of_partitions = of_partitions(&is_ours);
    let is_on = format!(
        "(t.tgenabled = 'A' or t.tgenabled = 'O' and current_setting('session_replication_role') <> 'replica' \
         or t.tgenabled = 'R' and starts_with(t.tgname::text, '{APPLIED}'))"
    );
    let capture = format!(
        "select count(*) filter (where {is_on}) || ' ' || coalesce(sum(t.xmin::text::int8), 0) || ' ' || (select \
         coalesce(string_agg(case when c.relrowsecurity and row_security_active(c.oid) then ' hidden' else '' end \
         || case when c.relkind = 'r' and c.relhassubclass then ' ' || (select count(*) from pg_inherits i where i.inhparent = c.oid) \
         else '' end, ',' order by c.oid), '') from pg_class c where {is_ours}) || '{PARTITIONS}' || (select count(*) filter (where not {is_on}) || ' ' \
         || coalesce(sum(t.writer::text::int8) filter (where not t.writer = t.maker), 0) from {of_partitions}) \
         from pg_trigger t where {of_ours}"
    );
    let whole = format!(
        "select ({capture}) || '{TABLES}' || coalesce(string_agg(c.xmin::text, ',' order by c.oid), '') from pg_class c where {is_ours}"
    );
    let found = format!(
        "select f.fingerprint, t.found, t.off from (select ({whole}) as fingerprint) f left join \
         (select t.tgrelid::regclass::text || ' ' || t.tgname as found, null as off from pg_trigger t where {of_ours} and {is_on} \
         union all select null, t.tgrelid::regclass::text from {of_partitions} where not {is_on}) t on true"
    );
    TriggersSql { capture, whole, is_ours, found }
}

/// Our triggers `t` of the partitions, at every depth, of the tables `c` of which this holds, as SQL.
///
/// They are rows of the catalog of their own, and are switched by themselves. Those that came with their partition and were not touched
/// since are of the transaction that wrote the row of its system column: a partition that is made, by a mutation too, is no change.
fn of_partitions(is_ours: &str) -> String {
    // `pg_partition_tree` would lock each of them, and wait for whoever locks one.
    format!(
        "(with recursive part(oid) as (select i.inhrelid from pg_inherits i join pg_class c on c.oid = i.inhparent where {is_ours} union \
         select i.inhrelid from part join pg_inherits i on i.inhparent = part.oid) \
         select t.tgrelid, t.tgname, t.tgenabled, t.xmin as writer, a.xmin as maker from part \
         join pg_trigger t on t.tgrelid = part.oid and t.tgname like '\\_nizhal\\_%' \
         join pg_attribute a on a.attrelid = part.oid and a.attnum = -1) t"
    )
}
