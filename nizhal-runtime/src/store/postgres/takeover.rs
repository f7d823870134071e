//! A database that the TypeScript Nizhal provisioned, taken over in the transaction that provisions it.
//!
//! Rows stay as they are, and devices begin at their first cursor. What is kept beside them is what a device that moves over cannot
//! do without: the numbers of its mutations, which of them were answered (an answer that was lost must not apply twice), and jobs
//! that wait. Tombstones are not: a device that begins anew has nothing that one could take away.

use crate::store::{StoreError, sql::quote};
use sqlx::{PgConnection, Row};

/// What stands there.
#[derive(Debug)]
pub(super) struct TypeScript {
    /// Triggers: table and name.
    pub(super) triggers: Vec<(String, String)>,
    functions: Vec<String>,
    /// Tables with its version column.
    pub(super) versioned: Vec<String>,
    /// Tables with stamps of columns.
    stamped: Vec<String>,
    /// Which of its own tables there are.
    own: Vec<String>,
}

/// The version column of its synced tables.
pub(super) const ROW_VERSION: &str = "_nizhal_row_version";
/// Its tables that are called as ours are.
pub(super) const NAMESAKES: [&str; 4] = ["_nizhal_mutations", "_nizhal_clients", "_nizhal_jobs", "_nizhal_tombstones"];
const OTHERS: [&str; 2] = ["_nizhal_client_buckets", "_nizhal_sync_control"];
/// Who an entry of its audit log is of, as ours name actors.
const ACTOR: &str =
    "'[' || to_json(coalesce(a.actor ->> 'ownerId', ''))::text || ',' || to_json(a.actor ->> 'userId')::text || ']'";

/// Finds it; `None` in any other database.
pub(super) async fn find(db: &mut PgConnection) -> Result<Option<TypeScript>, StoreError> {
    let sql = "select p.oid::regprocedure::text, p.proname::text from pg_proc p \
        where p.pronamespace = quote_ident(current_schema())::regnamespace and p.proname like '\\_nizhal\\_%'";
    let found = sqlx::query(sql).fetch_all(&mut *db).await?;
    let name = |row: &sqlx::postgres::PgRow| row.try_get::<String, _>(1);
    if !found.iter().map(name).any(|name| name.is_ok_and(|name| name == "_nizhal_next_row_version")) {
        return Ok(None);
    }
    let functions = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let sql = "select c.relname::text, t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid where not t.tgisinternal \
        and c.relnamespace = quote_ident(current_schema())::regnamespace and t.tgparentid = 0 and t.tgname like '\\_nizhal\\_%'";
    let triggers = sqlx::query_as(sql).fetch_all(&mut *db).await?;
    let sql = "select c.relname::text, a.attname::text from pg_class c join pg_attribute a on a.attrelid = c.oid \
        where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'p') and not c.relispartition \
        and a.attnum > 0 and not a.attisdropped";
    let (mut versioned, mut stamped, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for row in sqlx::query(sql).fetch_all(&mut *db).await? {
        let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        match column.as_str() {
            ROW_VERSION => versioned.push(table),
            "_meta" => stamped.push(table),
            _ if table.starts_with("_nizhal_") && !own.contains(&table) => own.push(table),
            _ => {}
        }
    }
    stamped.retain(|table| versioned.contains(table));
    Ok(Some(TypeScript { triggers, functions, versioned, stamped, own }))
}

impl TypeScript {
    fn has(&self, table: &str) -> bool {
        self.own.iter().any(|own| own == table)
    }

    /// Clears the way: its triggers, its versions, the names that are ours. Stamps of a short node get the length of ours.
    pub(super) fn before(&self) -> Vec<String> {
        let drop = |(table, trigger): &(String, String)| format!("drop trigger {} on {}", quote(trigger), quote(table));
        let mut plan: Vec<String> = self.triggers.iter().map(drop).collect();
        for table in &self.stamped {
            plan.push(format!(
                "update {} set _meta = (select jsonb_object_agg(k, regexp_replace(v, '-([0-9a-f]{{16}})$', '-0000000000000000\\1')) \
                 from jsonb_each_text(_meta) e(k, v)) where _meta <> '{{}}'",
                quote(table)
            ));
        }
        plan.extend(
            self.versioned.iter().map(|table| format!("alter table {} drop column {ROW_VERSION}", quote(table))),
        );
        for name in NAMESAKES.iter().filter(|name| self.has(name)) {
            plan.push(format!("alter table {name} rename to {}", old(name)));
        }
        plan
    }

    /// Takes over what is kept, once our tables are there, and drops the rest.
    pub(super) fn after(&self) -> Vec<String> {
        let audited = self.has("_nizhal_audit_log");
        let mut plan = Vec::new();
        if self.has("_nizhal_clients") {
            // Who has no entry is of nobody yet, and of the first that goes on with it.
            let actor = match audited {
                true => format!(
                    "coalesce((select {ACTOR} from _nizhal_audit_log a where a.client_id = c.client_id order by a.row_version desc limit 1), '')"
                ),
                false => "''".to_owned(),
            };
            plan.push(format!(
                "insert into _nizhal_clients (client_id, actor, last_mutation_id) select c.client_id, {actor}, \
                 coalesce(c.last_mutation_id, 0) from {} c on conflict do nothing",
                old("_nizhal_clients")
            ));
        }
        if self.has("_nizhal_mutations") && audited {
            plan.push(format!(
                "insert into _nizhal_mutations (actor, client_mutation_id, client_id, mutation_id, name, status, client_ref, server_id, at) \
                 select distinct on (1, 2) {ACTOR}, m.client_mutation_id, a.client_id, a.mutation_id, a.mutation_name, 'applied', \
                 m.client_id, m.server_id, coalesce(m.applied_at, now()) from {} m join _nizhal_audit_log a using (client_mutation_id) \
                 where m.error is null on conflict do nothing",
                old("_nizhal_mutations")
            ));
        }
        if self.has("_nizhal_mutations") {
            // Of nobody yet, as their clients: whoever sends one again hears how it went, and no id of a row.
            plan.push(format!(
                "insert into _nizhal_mutations (actor, client_mutation_id, name, status, reason, at) \
                 select '', m.client_mutation_id, '', case when m.error is null then 'applied' else 'rejected' end, m.error, \
                 coalesce(m.applied_at, now()) from {} m where not exists \
                 (select 1 from _nizhal_mutations n where n.client_mutation_id = m.client_mutation_id) on conflict do nothing",
                old("_nizhal_mutations")
            ));
        }
        if self.has("_nizhal_jobs") {
            plan.push(format!(
                "insert into _nizhal_jobs (id, name, args, run_at, attempts, max_attempts, last_error) select 'ts-' || j.id, \
                 j.task_slug, coalesce(j.input, '{{}}')::text, coalesce(j.run_at, now()), coalesce(j.attempts, 0), \
                 coalesce(j.max_attempts, 3), j.last_error from {} j where j.status not in \
                 ('done', 'completed', 'succeeded', 'failed', 'dead', 'cancelled') on conflict do nothing",
                old("_nizhal_jobs")
            ));
        }
        let namesakes = NAMESAKES.iter().filter(|name| self.has(name)).map(|name| old(name));
        let others = OTHERS.iter().filter(|name| self.has(name)).map(|name| (*name).to_owned());
        plan.extend(namesakes.chain(others).map(|table| format!("drop table {table}")));
        if audited {
            plan.push("alter table _nizhal_audit_log alter column row_version drop default".to_owned());
        }
        plan.extend(self.functions.iter().map(|function| format!("drop function {function}")));
        plan.push("drop sequence if exists _nizhal_row_version_seq".to_owned());
        plan
    }
}

/// What a table that is called as one of ours is called until it was read.
fn old(name: &str) -> String {
    name.replacen("_nizhal_", "_nizhal_typescript_", 1)
}
