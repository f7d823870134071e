//! What each user may see, in plain SQL that is written from the rules alone and knows nothing of the engine.

use crate::fixture::ADDED;
use chrono::DateTime;
use nizhal_core::sql::{literal, quote};
use nizhal_core::{
    ColumnIndex, Condition, ConstFilter, ConstValue, MemberFilter, ParamSource, Principal, Rule, ScopeValue, SqlType,
    TableDesc,
};
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::collections::BTreeMap;

/// Rows by table and key, each its columns as text.
pub(crate) type Rows = BTreeMap<(usize, String), Vec<String>>;

/// Stands between the values of a row, and between texts that a query joins.
pub(crate) const BETWEEN: char = '\u{1f}';

/// Stands around what a condition says of a bucket on demand, which depends on what the device asked for.
const ON_DEMAND: char = '\u{1e}';

/// One synced table as it is compared.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) desc: &'static TableDesc,
    /// Names and types of what devices see.
    columns: Vec<(&'static str, SqlType)>,
    /// Indexes of the key's columns among those.
    pub(crate) key: Vec<usize>,
    /// Whether the next version of the schema gives it a column.
    grows: bool,
}

/// What is shown to whom.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) tables: Vec<Compared>,
    /// For each user, for each table, the condition.
    conditions: Vec<Vec<String>>,
    /// The same without the constant filters: a row that one of them hides is still its bucket's, whose members may write it.
    writable: Vec<Vec<String>>,
}

impl Shown {
    pub(crate) fn new(rules: &[Rule], users: &[Principal]) -> Self {
        let mut tables: Vec<Compared> = Vec::new();
        for table in rules.iter().flat_map(|rule| &rule.tables).map(|line| line.table) {
            if tables.iter().all(|known| known.desc.name != table.name) {
                tables.push(Compared::new(table));
            }
        }
        tables.sort_by_key(|table| table.desc.name);
        if let Some(first) = tables.first_mut() {
            first.grows = true;
        }
        let synced: Vec<&str> = tables.iter().map(|table| table.desc.name).collect();
        let of = |user: &Principal, filtered: bool| {
            tables.iter().map(|table| condition(rules, &synced, table.desc.name, user, filtered)).collect()
        };
        let conditions = users.iter().map(|user| of(user, true)).collect();
        let writable = users.iter().map(|user| of(user, false)).collect();
        Self { tables, conditions, writable }
    }

    /// The place of a table by its name.
    pub(crate) fn slot(&self, table: &str) -> Option<usize> {
        self.tables.iter().position(|known| known.desc.name == table)
    }

    /// What a user may see in the server's database; of the rules on demand, in the buckets that a device asked for, or in all where it
    /// cannot ask.
    pub(crate) async fn rows(
        &self,
        db: &mut SqliteConnection,
        user: usize,
        grown: bool,
        asked: Option<&[String]>,
    ) -> Result<Rows, String> {
        let conditions: Vec<String> =
            self.conditions[user].iter().map(|condition| asked_for(condition, asked)).collect();
        self.where_any(db, &conditions, grown).await
    }

    /// What a user may write in the server's database.
    pub(crate) async fn writable(&self, db: &mut SqliteConnection, user: usize, grown: bool) -> Result<Rows, String> {
        let conditions: Vec<String> = self.writable[user].iter().map(|condition| asked_for(condition, None)).collect();
        self.where_any(db, &conditions, grown).await
    }

    async fn where_any(&self, db: &mut SqliteConnection, conditions: &[String], grown: bool) -> Result<Rows, String> {
        let parts = self.tables.iter().zip(conditions).enumerate();
        let parts: Vec<String> = parts.map(|(slot, (table, condition))| table.select(slot, grown, condition)).collect();
        let found: Result<Vec<(i64, String)>, _> =
            sqlx::query_as(AssertSqlSafe(parts.join(" union all "))).fetch_all(db).await;
        Ok(self.read(found.map_err(|error| format!("the oracle's query fails: {error}"))?, grown))
    }

    /// Every row of the server's database.
    pub(crate) async fn all(&self, db: &mut SqliteConnection, grown: bool) -> Result<Rows, String> {
        let found: Result<Vec<(i64, String)>, _> =
            sqlx::query_as(AssertSqlSafe(self.of_device(grown))).fetch_all(db).await;
        Ok(self.read(found.map_err(|error| format!("the oracle's query fails: {error}"))?, grown))
    }

    /// The same query for a device's own database.
    pub(crate) fn of_device(&self, grown: bool) -> String {
        let parts = self.tables.iter().enumerate();
        let parts: Vec<String> = parts.map(|(slot, table)| table.select(slot, grown, "1")).collect();
        parts.join(" union all ")
    }

    /// Rows out of what such a query gives.
    pub(crate) fn read(&self, found: Vec<(i64, String)>, grown: bool) -> Rows {
        let mut rows = Rows::new();
        for (slot, text) in found {
            let slot = usize::try_from(slot).unwrap_or_default();
            let table = &self.tables[slot];
            let values = text.split(BETWEEN).zip(table.columns(grown).map(|(_, sql)| sql));
            let values: Vec<String> = values.map(|(text, sql)| normal(sql, text)).collect();
            let key: Vec<&str> = table.key.iter().map(|&at| values[at].as_str()).collect();
            rows.insert((slot, key.join(",")), values);
        }
        rows
    }
}

impl Compared {
    fn new(desc: &'static TableDesc) -> Self {
        let visible = desc.columns.iter().filter(|column| !column.private);
        let mut columns: Vec<(&'static str, SqlType)> = visible.map(|column| (column.name, column.sql)).collect();
        if desc.column("updated_at").is_none() {
            columns.push(("updated_at", SqlType::Timestamptz));
        }
        let index = |name: &str| columns.iter().position(|(known, _)| *known == name).unwrap_or_default();
        let key = desc.key_columns().map(|column| index(column.name)).collect();
        Self { desc, columns, key, grows: false }
    }

    fn columns(&self, grown: bool) -> impl Iterator<Item = (&'static str, SqlType)> {
        let added = (grown && self.grows).then_some((ADDED, SqlType::Text));
        self.columns.iter().copied().chain(added)
    }

    fn select(&self, slot: usize, grown: bool, condition: &str) -> String {
        let values: Vec<String> = self.columns(grown).map(|(name, _)| format!("quote({})", quote(name))).collect();
        let text = values.join(&format!(" || '{BETWEEN}' || "));
        format!("select {slot}, {text} from {} where deleted_at is null and ({condition})", quote(self.desc.name))
    }

    /// The same key of a row that is told to be gone.
    pub(crate) fn gone_key(&self, gone: &serde_json::Value) -> String {
        let id = gone["id"].as_str().unwrap_or_default();
        let parts: Vec<String> = match self.key.len() {
            1 => vec![id.to_owned()],
            _ => serde_json::from_str(id).unwrap_or_default(),
        };
        let parts = parts.iter().zip(&self.key).map(|(part, &at)| normal(self.columns[at].1, part));
        parts.collect::<Vec<_>>().join(",")
    }

    /// A row's key as the wire writes it, from a row as the wire writes it.
    pub(crate) fn wire_key(&self, row: &serde_json::Value) -> String {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let parts = self.key.iter().map(|&at| {
            let (name, sql) = self.columns[at];
            normal(sql, &row.get(name).map(text).unwrap_or_default())
        });
        parts.collect::<Vec<_>>().join(",")
    }
}

/// One value, however the database or the wire wrote it.
fn normal(sql: SqlType, quoted: &str) -> String {
    let text = match quoted.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(text) => text.replace("''", "'"),
        None => quoted.to_owned(),
    };
    match sql {
        SqlType::Timestamptz => match DateTime::parse_from_rfc3339(&text) {
            Ok(time) => time.timestamp_micros().to_string(),
            Err(_) => text,
        },
        SqlType::Json => serde_json::from_str::<serde_json::Value>(&text).map_or(text, |json| json.to_string()),
        SqlType::Uuid => {
            let hex = text.trim_start_matches("X'").trim_end_matches('\'');
            hex.replace('-', "").to_lowercase()
        }
        _ => text,
    }
}

/// The rows of a table in the user's buckets; `filtered`: that some rule shows to the user.
fn condition(rules: &[Rule], synced: &[&str], table: &str, user: &Principal, filtered: bool) -> String {
    let mut branches = Vec::new();
    for rule in rules {
        for line in rule.tables.iter().filter(|line| line.table.name == table) {
            let mut all = vec!["1".to_owned()];
            for (&at, param) in line.scope.iter().zip(&rule.params) {
                let column = quote(line.table.columns[at].name);
                all.push(match &param.source {
                    ParamSource::Claim(claim) => equals(&column, claim.get(user).as_ref()),
                    ParamSource::Member { table, column: value, filters } => {
                        format!("{column} in ({})", members(table, *value, filters, synced, user))
                    }
                });
            }
            if rule.on_demand.is_some() {
                let columns: Vec<&str> = line.scope.iter().map(|&at| line.table.columns[at].name).collect();
                all.push(format!("{ON_DEMAND}{}:{}{ON_DEMAND}", rule.name, columns.join("/")));
            }
            let filters = line.filters.iter().filter(|_| filtered);
            all.extend(filters.map(|filter| constants(line.table, filter)));
            branches.push(format!("({})", all.join(" and ")));
        }
    }
    branches.join(" or ")
}

/// A condition where a device asked for these buckets on demand.
fn asked_for(condition: &str, asked: Option<&[String]>) -> String {
    let mut sql = String::new();
    for (at, part) in condition.split(ON_DEMAND).enumerate() {
        let Some((rule, columns)) = part.split_once(':').filter(|_| at % 2 == 1) else {
            sql.push_str(part);
            continue;
        };
        let Some(asked) = asked else {
            sql.push('1');
            continue;
        };
        let values =
            asked.iter().filter_map(|name| name.split_once(':').filter(|(of, _)| *of == rule)).map(|(_, value)| value);
        let buckets = values.map(|value| {
            let values: Vec<&str> = if columns.contains('/') { value.split('/').collect() } else { vec![value] };
            let mut all = vec!["1".to_owned()];
            all.extend(columns.split('/').filter(|column| !column.is_empty()).zip(values).map(|(column, value)| {
                let (column, bare) = (quote(column), value.replace('-', ""));
                let is_blob = format!("typeof({column}) = 'blob' and lower(hex({column})) = {}", literal(&bare));
                format!("({is_blob} or cast({column} as text) = {})", literal(value))
            }));
            format!("({})", all.join(" and "))
        });
        sql.push_str(&format!("({})", std::iter::once("0".to_owned()).chain(buckets).collect::<Vec<_>>().join(" or ")));
    }
    sql
}

/// The buckets that a membership table gives a user.
pub(crate) fn members(
    table: &TableDesc,
    value: ColumnIndex,
    filters: &[MemberFilter],
    synced: &[&str],
    user: &Principal,
) -> String {
    let mut all = vec!["1".to_owned()];
    if synced.contains(&table.name) {
        all.push("deleted_at is null".to_owned());
    }
    all.extend(filters.iter().map(|filter| match filter {
        MemberFilter::Claim { column, claim } => equals(&quote(table.columns[*column].name), claim.get(user).as_ref()),
        MemberFilter::Const(condition) => constants(table, condition),
    }));
    format!("select {} from {} where {}", quote(table.columns[value].name), quote(table.name), all.join(" and "))
}

fn equals(column: &str, value: Option<&ScopeValue>) -> String {
    value.map_or_else(|| "0".to_owned(), |value| format!("{column} = {}", scope_literal(value)))
}

/// A claim's value in SQL.
pub(crate) fn scope_literal(value: &ScopeValue) -> String {
    match value {
        ScopeValue::Text(text) => literal(text),
        ScopeValue::Int(number) => number.to_string(),
        ScopeValue::Uuid(id) => format!("x'{}'", id.simple()),
    }
}

fn constants(table: &TableDesc, condition: &Condition) -> String {
    let joined = |parts: &[Condition], with: &str, none: &str| {
        let parts: Vec<String> = parts.iter().map(|part| constants(table, part)).collect();
        if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(with)) }
    };
    match condition {
        Condition::Column(ConstFilter { column, negated, value }) => {
            let value = match value {
                ConstValue::Bool(value) => u8::from(*value).to_string(),
                ConstValue::Int(number) => number.to_string(),
                ConstValue::Text(text) => literal(text),
            };
            let compare = if *negated { "<>" } else { "=" };
            // A comparison with NULL is not true, and nothing here negates it again.
            format!("coalesce({} {compare} {value}, 0)", quote(table.columns[*column].name))
        }
        Condition::All(parts) => joined(parts, " and ", "1"),
        Condition::Any(parts) => joined(parts, " or ", "0"),
    }
}
