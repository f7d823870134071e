//! What a Postgres holds of the app and of the engine, as its catalog tells.

use super::{drift, namespace::Namespace, takeover, takeover::TypeScript, trigger::APPLIED};
use crate::store::{
    StoreError,
    owner::{self, Provisioned},
    rules,
    sql::{Dialect, quote},
};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet};

/// The parts of the database that were found.
pub(super) struct Found {
    /// The schema that tables are made in, quoted.
    pub(super) schema: String,
    pub(super) namespace: Namespace,
    pub(super) columns: BTreeMap<String, BTreeSet<String>>,
    pub(super) indexes: BTreeSet<String>,
    /// Indexes whose build was cut off.
    pub(super) broken: BTreeSet<String>,
    /// Tables that are neither partitioned nor views, quoted.
    pub(super) plain: BTreeSet<String>,
    pub(super) functions: BTreeSet<String>,
    /// The functions with the types of their arguments, as they are dropped.
    pub(super) signatures: Vec<(String, String)>,
    pub(super) triggers: BTreeSet<(String, String)>,
    /// Triggers of ours that somebody switched off, or that `session_replication_role` switches off.
    pub(super) disabled: Vec<(String, String)>,
    /// Those that partitions have of their parents and that are switched otherwise: the partition as SQL names it, and the trigger.
    pub(super) disabled_clones: Vec<(String, String)>,
    /// The functions of ours that every role may call.
    pub(super) open_functions: BTreeSet<String>,
    pub(super) relations: drift::Relations,
    pub(super) checks: BTreeSet<(String, String)>,
    pub(super) sequences: BTreeSet<String>,
    pub(super) epoch: bool,
    pub(super) rules: Vec<rules::Branch>,
    pub(super) provisioned: Provisioned,
}

impl Found {
    /// Forgets what a take-over clears away.
    pub(super) fn forget(&mut self, old: &TypeScript) {
        for name in takeover::NAMESAKES {
            self.columns.remove(name);
        }
        for table in &old.versioned {
            if let Some(columns) = self.columns.get_mut(table) {
                columns.remove(takeover::ROW_VERSION);
            }
            self.relations.forget(table, takeover::ROW_VERSION);
        }
        self.triggers.retain(|trigger| !old.triggers.contains(trigger));
        self.functions.clear();
        self.signatures.clear();
    }

    /// Whether this table has the column.
    pub(super) fn has(&self, table: &str, column: &str) -> bool {
        self.columns.get(table).is_some_and(|columns| columns.contains(column))
    }
}

/// Reads what is there.
pub(super) async fn introspect(db: &mut PgConnection) -> Result<Found, StoreError> {
    let schema: Option<String> = sqlx::query_scalar("select current_schema()::text").fetch_one(&mut *db).await?;
    let schema = schema.ok_or_else(|| {
        StoreError::Schema("the search_path of this database user names no schema that exists".to_owned())
    })?;
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // Also those of tables that this role has no right to, which must not be taken for absent.
    let sql = "select c.relname::text, a.attname::text from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 \
        and not a.attisdropped where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')";
    for row in sqlx::query(sql).fetch_all(&mut *db).await? {
        columns.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
    }
    let names = async |db: &mut PgConnection, sql: &'static str| -> Result<BTreeSet<String>, StoreError> {
        Ok(sqlx::query_scalar(sql).fetch_all(db).await?.into_iter().collect())
    };
    let indexes = names(db, "select indexname::text from pg_indexes where schemaname = current_schema()").await?;
    let broken = names(
        db,
        "select c.relname::text from pg_index i join pg_class c on c.oid = i.indexrelid \
         where c.relnamespace = quote_ident(current_schema())::regnamespace and c.relname like '\\_nizhal\\_ix\\_%' and not i.indisvalid \
         and not exists (select 1 from pg_stat_progress_create_index p where p.index_relid = i.indexrelid)",
    )
    .await?;
    let plain = "select relname::text from pg_class where relnamespace = quote_ident(current_schema())::regnamespace and relkind = 'r'";
    let plain = names(db, plain).await?.iter().map(|table| quote(table)).collect();
    let signatures: Vec<(String, String)> = sqlx::query_as(
        "select proname::text, oid::regprocedure::text from pg_proc \
         where pronamespace = quote_ident(current_schema())::regnamespace and proname like '\\_nizhal\\_%'",
    )
    .fetch_all(&mut *db)
    .await?;
    let functions = signatures.iter().map(|(name, _)| name.clone()).collect();
    let sequences =
        names(db, "select sequencename::text from pg_sequences where schemaname = current_schema()").await?;
    let triggers = sqlx::query_as(
        "select c.relname::text, t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid \
         where c.relnamespace = quote_ident(current_schema())::regnamespace and t.tgparentid = 0 and t.tgname like '\\_nizhal\\_%'",
    )
    .fetch_all(&mut *db)
    .await?
    .into_iter()
    .collect();
    let disabled = sqlx::query_as(AssertSqlSafe(format!(
            "select c.relname::text, t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid \
             where c.relnamespace = quote_ident(current_schema())::regnamespace and t.tgparentid = 0 and t.tgname like '\\_nizhal\\_%' \
             and t.tgenabled <> case when starts_with(t.tgname::text, '{APPLIED}') then 'R' else 'A' end::\"char\""
        ))
    )
    .fetch_all(&mut *db)
    .await?;
    // A partition may be in another schema; what its triggers call is in ours.
    let disabled_clones = sqlx::query_as(
        "select t.tgrelid::regclass::text, t.tgname::text from pg_trigger t join pg_proc p on p.oid = t.tgfoid \
         where t.tgparentid <> 0 and t.tgenabled <> 'A' and t.tgname like '\\_nizhal\\_%' and not starts_with(t.tgname::text, $1) \
         and p.pronamespace = quote_ident(current_schema())::regnamespace order by 1, 2",
    )
    .bind(APPLIED)
    .fetch_all(&mut *db)
    .await?;
    let open_functions = names(
        db,
        "select proname::text from pg_proc where pronamespace = quote_ident(current_schema())::regnamespace \
         and proname like '\\_nizhal\\_%' and has_function_privilege('public', oid, 'execute')",
    )
    .await?;
    let relations = drift::introspect(db).await?;
    let checks = sqlx::query_as(
        "select c.relname::text, k.conname::text from pg_constraint k join pg_class c on c.oid = k.conrelid \
         where c.relnamespace = quote_ident(current_schema())::regnamespace and k.conislocal and k.contype = 'c' and k.conname like '\\_nizhal\\_enum\\_%'",
    )
    .fetch_all(&mut *db)
    .await?
    .into_iter()
    .collect();
    let epoch = columns.contains_key("_nizhal_control")
        && sqlx::query("select 1 from _nizhal_control where id = 1").fetch_optional(&mut *db).await?.is_some();
    let (namespace, schema) = (Namespace::of(&schema), quote(&schema));
    let (rules, provisioned) = (Vec::new(), Provisioned::default());
    let mut found = Found {
        schema,
        namespace,
        columns,
        indexes,
        broken,
        plain,
        functions,
        signatures,
        triggers,
        disabled,
        disabled_clones,
        open_functions,
        relations,
        checks,
        sequences,
        epoch,
        rules,
        provisioned,
    };
    if found.columns.contains_key("_nizhal_rules") {
        let rows = sqlx::query_as::<_, rules::StoredBranch>(rules::READ).fetch_all(&mut *db).await?;
        found.rules = rows.into_iter().map(rules::Branch::from).collect();
    }
    if found.epoch {
        let sql = owner::read(Dialect::Postgres, &|column| found.has("_nizhal_control", column));
        found.provisioned = sqlx::query_as::<_, owner::Columns>(AssertSqlSafe(sql)).fetch_one(&mut *db).await?.into();
    }
    Ok(found)
}
