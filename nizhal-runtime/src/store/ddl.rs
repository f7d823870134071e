//! `create table` and `create index`, for users' tables and the engine's, in both dialects.

use super::{
    StoreError, blob_ddl,
    blob_reference::blob_columns,
    field,
    owner::Owner,
    replay,
    sql::{DELETED_AT, Dialect, UPDATED_AT, VERSION, literal, quote, stamped},
    text,
};
use crate::schema::Schema;
use nizhal_core::{ColumnDefault, ColumnDesc, MemberFilter, ParamSource, SqlType, TableDesc, sql::sqlite_column};

/// What a bucket is looked up by: short enough for an index, whatever the name.
pub(super) const BUCKET_KEY: &str = "substr(bucket, 1, 500)";

/// The engine's own tables, each with its `create` statement.
pub(crate) fn engine_tables(dialect: Dialect) -> Vec<(&'static str, String)> {
    let (text, int, time) = match dialect {
        Dialect::Postgres => ("text collate \"C\"", "bigint", "timestamptz not null default now()"),
        Dialect::Sqlite => ("text", "integer", "text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))"),
    };
    // SQLite has one writer, so its clock is a counter here; `txn` is the version of our transaction under way.
    let clock = match dialect {
        Dialect::Postgres => "",
        Dialect::Sqlite => ", clock integer not null default 1, txn integer",
    };
    let mut tables = vec![
        (
            "_nizhal_control",
            format!(
                "create table _nizhal_control (id {int} primary key check (id = 1), epoch {text} not null, \
                 secret {text} not null, home {text} not null, collected {int} not null default 0{clock})"
            ),
        ),
        (
            "_nizhal_tombstones",
            format!(
                "create table _nizhal_tombstones (rule {text} not null, bucket {text} not null, tbl {text} not null, \
                 id {text} not null, client_key {text}, kind {text} not null, version {int} not null, at {time}, \
                 primary key (rule, bucket, tbl, id))"
            ),
        ),
        (
            "_nizhal_deletes",
            format!(
                "create table _nizhal_deletes (tbl {text} not null, id {text} not null, stamp {text} not null, at {time}, \
                 primary key (tbl, id))"
            ),
        ),
        (
            "_nizhal_clients",
            format!(
                "create table _nizhal_clients (client_id {text} primary key, actor {text} not null, \
                 last_mutation_id {int} not null default 0, last_version {int} not null default 0, seen_at {time})"
            ),
        ),
        (
            "_nizhal_mutations",
            format!(
                "create table _nizhal_mutations (actor {text} not null, client_mutation_id {text} not null, \
                 client_id {text}, mutation_id {int}, name {text} not null, status {text} not null, reason {text}, \
                 result {text}, client_ref {text}, server_id {text}, version {int} not null default 0, \
                 at {time}, primary key (actor, client_mutation_id))"
            ),
        ),
        (
            "_nizhal_counters",
            format!(
                "create table _nizhal_counters (series {text} not null, bucket {text} not null, last {int} not null, \
                 primary key (series, bucket))"
            ),
        ),
        (
            "_nizhal_jobs",
            format!(
                "create table _nizhal_jobs (id {text} primary key, name {text} not null, args {text} not null, \
                 status {text} not null default 'pending', run_at {time}, attempts {int} not null default 0, \
                 max_attempts {int} not null default 8, unique_key {text}, last_error {text}, at {time})"
            ),
        ),
        (
            "_nizhal_rules",
            format!(
                "create table _nizhal_rules (id {text} primary key, rule {text} not null, tbl {text} not null, \
                 params {int} not null, bucket {text} not null, visible {text} not null, columns {text} not null)"
            ),
        ),
        (
            "_nizhal_bucket_sets",
            format!("create table _nizhal_bucket_sets (id {text} primary key, buckets {text} not null, at {time})"),
        ),
        (
            "_nizhal_lives",
            format!("create table _nizhal_lives (life {text} primary key, reached {int} not null, at {time})"),
        ),
        (
            "_nizhal_images",
            format!(
                "create table _nizhal_images (path {text} primary key, rule {text} not null, bucket {text} not null, \
                 version {int} not null, epoch {text} not null, tag {text} not null, shape {text} not null, \
                 size {int} not null, sha256 {text} not null, rows {int} not null, made_ms {int} not null)"
            ),
        ),
        (
            "_nizhal_audit",
            format!(
                "create table _nizhal_audit (version {int} not null, n {int} not null, at {time}, kind {text} not null, \
                 actor {text} not null, id {text} not null, client_id {text}, mutation_id {int}, name {text} not null, \
                 status {text} not null, buckets {text} not null, tables {text} not null, args {text}, \
                 primary key (version, n))"
            ),
        ),
        (
            "_nizhal_audit_buckets",
            format!(
                "create table _nizhal_audit_buckets (bucket {text} not null, version {int} not null, n {int} not null)"
            ),
        ),
    ];
    tables.extend(blob_ddl::tables(text, int));
    tables.extend(replay::engine_tables(text, int, time));
    if dialect == Dialect::Postgres {
        // The partitions that were there when it was looked last.
        let create = format!(
            "create table _nizhal_partitions (tbl {text} not null, part {int} not null, primary key (tbl, part))"
        );
        tables.push(("_nizhal_partitions", create));
        // How each synced table lay on the disk then.
        let create = format!(
            "create table _nizhal_files (tbl {text} primary key, files {text} not null, columns {text} not null)"
        );
        tables.push(("_nizhal_files", create));
    }
    if dialect == Dialect::Sqlite {
        tables
            .push(("_nizhal_touched", "create table _nizhal_touched (note text primary key) without rowid".to_owned()));
        // Where the mutation under way takes effect, and whether rows may be written past that.
        tables.push((
            "_nizhal_replay",
            "create table _nizhal_replay (id integer primary key check (id = 1), space text, pos text, \
             checkpoint boolean not null default 0)"
                .to_owned(),
        ));
    }
    tables
}

/// Columns that engine tables got after their first version, each with its definition.
pub(crate) fn engine_additions(dialect: Dialect) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut columns = vec![
        // The fingerprint of the rules that it is provisioned for.
        ("_nizhal_control", "rules", "rules text not null default ''"),
        // The app that provisioned it, and by which version of these tables, functions and triggers.
        ("_nizhal_control", "app", "app text not null default ''"),
        ("_nizhal_control", "provisioning", "provisioning bigint not null default 0"),
        // How often rules were changed, and which of these generations each rule is of, as JSON.
        ("_nizhal_control", "generation", "generation bigint not null default 0"),
        ("_nizhal_control", "generations", "generations text not null default ''"),
        // The fingerprints of rules that were replaced by others, as JSON, the last one last.
        ("_nizhal_control", "replaced", "replaced text not null default ''"),
        // The contract that clients may have been built against.
        ("_nizhal_control", "contract", "contract text not null default ''"),
        // The number up to which a client has its answers; the one up to which they were forgotten, and when the last of those
        // was given, in milliseconds.
        ("_nizhal_clients", "acknowledged", "acknowledged bigint not null default 0"),
        ("_nizhal_clients", "expired", "expired bigint not null default 0"),
        ("_nizhal_clients", "expired_at_ms", "expired_at_ms bigint not null default 0"),
        // When the last client that was forgotten was last heard, in milliseconds; and that moment as it was when a client was made.
        ("_nizhal_control", "forgotten_ms", "forgotten_ms bigint not null default 0"),
        ("_nizhal_clients", "forgotten_ms", "forgotten_ms bigint not null default 0"),
        // Whose a job is, and when it has its turn among those that are due, in milliseconds since the Unix epoch.
        ("_nizhal_jobs", "actor", "actor text not null default ''"),
        ("_nizhal_jobs", "turn_ms", "turn_ms bigint not null default 0"),
        // The buckets that a job may write, as JSON; any where there is none, as in the rows of before.
        ("_nizhal_jobs", "buckets", "buckets text"),
        // The columns that a mutation did not get, as JSON.
        ("_nizhal_mutations", "lost", "lost text"),
        // Whether a mutation took effect later than it was made.
        ("_nizhal_actions", "late", "late boolean not null default false"),
    ];
    if dialect == Dialect::Sqlite {
        // The stamp of the mutation under way.
        columns.push(("_nizhal_control", "hlc", "hlc text"));
        // What the engine marks the rows with that it writes itself.
        columns.push(("_nizhal_control", "sign", "sign integer not null default -1"));
        // Whether rows that are as they were get their version back.
        columns.push(("_nizhal_replay", "net", "net boolean not null default 0"));
    } else {
        // The file of a partition that no trigger watches being emptied: `truncate` gives it another one.
        columns.push(("_nizhal_partitions", "file", "file bigint"));
        // The write set of a mutation, in the place of its buckets and tables; and up to which version these are indexed.
        columns.push(("_nizhal_audit", "write_set", "write_set text"));
        columns.push(("_nizhal_control", "audit_indexed", "audit_indexed bigint not null default 0"));
    }
    columns
}

/// The values that a database is given when it is provisioned.
#[derive(Debug)]
pub(crate) struct Seed {
    /// Names this history of the database; cursors of another are no good.
    pub(crate) epoch: String,
    /// The app that provisions.
    pub(crate) owner: Owner,
}

/// The name of an epoch that never was.
pub(crate) fn new_epoch() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Seed {
    /// A history that begins now, of this app.
    pub(crate) fn new(owner: Owner) -> Self {
        Self { epoch: new_epoch(), owner }
    }

    /// The control row; `home` is the SQL of the incarnation. The secret that protects cursors is drawn by the database, so that
    /// no statement, and so no log and no printed plan, has it.
    pub(crate) fn insert(&self, dialect: Dialect, home: &str) -> String {
        format!(
            "insert into _nizhal_control (id, epoch, secret, home) values (1, {}, {}, {home})",
            literal(&self.epoch),
            secret(dialect)
        )
    }
}

/// A secret that the database draws.
fn secret(dialect: Dialect) -> &'static str {
    match dialect {
        // Each has 122 random bits, of the operating system's.
        Dialect::Postgres => "replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')",
        Dialect::Sqlite => "lower(hex(randomblob(32)))",
    }
}

/// What a control row lacks that was made before cursors were protected.
pub(crate) fn unsigned(dialect: Dialect, home: &str) -> [String; 3] {
    [
        "alter table _nizhal_control add column secret text not null default ''".to_owned(),
        "alter table _nizhal_control add column home text not null default ''".to_owned(),
        format!("update _nizhal_control set secret = {}, home = {home} where id = 1", secret(dialect)),
    ]
}

/// The columns that a synced table has beside its own, each with its definition.
pub(crate) fn engine_columns(dialect: Dialect, table: &TableDesc) -> Vec<(&'static str, String)> {
    let time = dialect.type_name(SqlType::Timestamptz);
    // SQLite adds columns with constant defaults only; the trigger writes the time all the same.
    let updated = match dialect {
        Dialect::Postgres => format!("{} {time} not null default now()", quote(UPDATED_AT)),
        Dialect::Sqlite => format!("{} {time}", quote(UPDATED_AT)),
    };
    let mut columns = vec![
        (VERSION, format!("{} {} not null default 1", quote(VERSION), dialect.type_name(SqlType::Int8))),
        (UPDATED_AT, updated),
        (DELETED_AT, format!("{} {time}", quote(DELETED_AT))),
    ];
    if field::merges(table) {
        let json = dialect.type_name(SqlType::Json);
        columns.push((field::META, format!("{} {json} not null default '{{}}'", quote(field::META))));
    }
    columns
}

/// A column's definition.
pub(crate) fn column(dialect: Dialect, column: &ColumnDesc) -> String {
    if dialect == Dialect::Sqlite {
        return sqlite_column(column);
    }
    let mut sql = format!("{} {}", quote(column.name), dialect.type_name(column.sql));
    if let Some(expression) = column.generated {
        sql.push_str(&format!(" generated always as ({expression}) stored"));
    }
    if !column.nullable {
        sql.push_str(" not null");
    }
    if let Some(value) = column.default {
        let value = match value {
            ColumnDefault::Now => "now()".to_owned(),
            ColumnDefault::Text(text) => literal(text),
            ColumnDefault::Int(number) => number.to_string(),
            ColumnDefault::Bool(value) => dialect.boolean(value).to_owned(),
        };
        sql.push_str(" default ");
        sql.push_str(&value);
    }
    if column.unique {
        sql.push_str(" unique");
    }
    sql
}

/// `create table` for a user's table.
pub(crate) fn create_table(dialect: Dialect, table: &TableDesc, synced: bool) -> String {
    let mut parts: Vec<String> = table.columns.iter().map(|c| column(dialect, c)).collect();
    if synced {
        parts.extend(
            engine_columns(dialect, table)
                .into_iter()
                .filter(|(name, _)| table.column(name).is_none())
                .map(|(_, sql)| sql),
        );
    }
    let keys: Vec<String> = table.key_columns().map(|column| quote(column.name)).collect();
    parts.push(format!("primary key ({})", keys.join(", ")));
    format!("create table {} (\n  {}\n)", quote(table.name), parts.join(",\n  "))
}

/// Whether a column can be added to a table that has rows.
pub(crate) fn check_addable(table: &TableDesc, column: &ColumnDesc) -> Result<(), StoreError> {
    let key = table.key_columns().any(|key| key.name == column.name);
    if !key && (column.nullable || column.default.is_some() || column.generated.is_some()) {
        return Ok(());
    }
    Err(StoreError::Schema(format!(
        "table `{0}` exists without the column `{1}`, which is {2}: add it yourself, or make the field an Option or give \
         it a default",
        table.name,
        column.name,
        if key { "part of its key" } else { "not null" }
    )))
}

/// An index of ours.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Index {
    unique: bool,
    definition: String,
}

impl Index {
    /// Its name; another definition has another name.
    pub(crate) fn name(&self) -> String {
        stamped("_nizhal_ix", &self.definition)
    }

    /// Its `create` statement.
    pub(crate) fn create(&self) -> String {
        let unique = if self.unique { "unique " } else { "" };
        format!("create {unique}index {} on {}", self.name(), self.definition)
    }

    /// The one that lets others write meanwhile, on Postgres; it runs in no transaction.
    pub(crate) fn create_concurrently(&self) -> String {
        let unique = if self.unique { "unique " } else { "" };
        format!("create {unique}index concurrently if not exists {} on {}", self.name(), self.definition)
    }

    /// The name of its table, quoted.
    pub(crate) fn table(&self) -> &str {
        self.definition.split(" (").next().unwrap_or_default()
    }
}

/// The indexes that pulls rely on: one for each scan of a rule, one for each membership query, the engine's own.
pub(crate) fn indexes(dialect: Dialect, schema: &Schema) -> Vec<Index> {
    let on = |table: &str, parts: &[String]| Index {
        unique: false,
        definition: format!("{} ({})", quote(table), parts.join(", ")),
    };
    let mut all = Vec::new();
    for rule in schema.rules() {
        for synced in &rule.tables {
            let table = synced.table;
            let mut parts: Vec<String> = synced.scope.iter().map(|&at| quote(table.columns[at].name)).collect();
            parts.push(quote(VERSION));
            parts.extend(table.key_columns().map(|key| format!("({})", dialect.sort_text(&quote(key.name), key.sql))));
            all.push(on(table.name, &parts));
        }
        for param in &rule.params {
            let ParamSource::Member { table, column, filters } = &param.source else { continue };
            let claims = filters.iter().filter_map(|filter| match filter {
                MemberFilter::Claim { column, .. } => Some(*column),
                MemberFilter::Const(_) => None,
            });
            let parts: Vec<String> = claims.chain([*column]).map(|at| quote(table.columns[at].name)).collect();
            all.push(on(table.name, &parts));
        }
    }
    let is_spelled = |key: &ColumnDesc| dialect == Dialect::Sqlite && text::is_spelled(key.sql);
    for table in schema.synced().into_iter().filter(|table| table.key_columns().any(is_spelled)) {
        let by = |key: &ColumnDesc| match is_spelled(key) {
            true => format!("({})", dialect.text_of(&quote(key.name), key.sql)),
            false => quote(key.name),
        };
        all.push(on(table.name, &table.key_columns().map(by).collect::<Vec<_>>()));
    }
    for (table, column) in blob_columns(schema) {
        let definition = format!("{} {}", quote(table.name), dialect.blob_index(column));
        all.push(Index { unique: false, definition });
    }
    let own = |table: &str, parts: &[&str]| on(table, &parts.iter().map(|&part| part.to_owned()).collect::<Vec<_>>());
    all.push(own("_nizhal_tombstones", &["rule", "bucket", "version", "tbl", "id"]));
    all.push(own("_nizhal_images", &["rule", "bucket", "version"]));
    all.push(own("_nizhal_mutations", &["client_id", "mutation_id"]));
    all.push(own("_nizhal_actions", &["space", "client_id", "pos"]));
    let revised = "\"_nizhal_actions\" (client_id, revised) where revised > 0";
    all.push(Index { unique: false, definition: revised.to_owned() });
    // Not by when they were heard: a push changes that, and its row would need a new entry in each index.
    // And by an expression that nobody else uses: a pull finds its client by the primary key, however few clients Postgres expects.
    all.push(own("_nizhal_clients", &["(actor || '')"]));
    let loose = "\"_nizhal_mutations\" (at) where client_id is null";
    all.push(Index { unique: false, definition: loose.to_owned() });
    all.push(own("_nizhal_audit", &["actor", "version", "n"]));
    let filed = format!("\"_nizhal_audit_buckets\" ({}, version, n)", BUCKET_KEY);
    all.push(Index { unique: false, definition: filed });
    all.extend(blob_ddl::INDEXES.map(|(unique, on)| Index { unique, definition: on.to_owned() }));
    // What waits, by when it is due; and one of a key among those that wait.
    let due = "\"_nizhal_jobs\" (run_at) where status <> 'dead'";
    let key = "\"_nizhal_jobs\" (name, unique_key) where status = 'pending' and unique_key is not null";
    all.push(Index { unique: false, definition: due.to_owned() });
    let turn = "\"_nizhal_jobs\" (actor, turn_ms) where status = 'pending'";
    all.push(Index { unique: false, definition: turn.to_owned() });
    // Where the turns of all actors stand.
    let next = "\"_nizhal_jobs\" (turn_ms) where status = 'pending'";
    all.push(Index { unique: false, definition: next.to_owned() });
    all.push(Index { unique: true, definition: key.to_owned() });
    all.sort();
    all.dedup();
    all
}
