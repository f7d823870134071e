//! Somebody who writes to the server's database by SQL: memberships come and go, rows move, change, are deleted and come back.

use crate::fixture::{ADDED, Fixture};
use crate::oracle::scope_literal;
use crate::plain;
use crate::server::Server;
use nizhal_core::sql::{literal, quote};
use nizhal_core::{ColumnDesc, ColumnIndex, MemberFilter, ParamSource, Random, Rule, SqlType, TableDesc};
use std::collections::BTreeMap;

/// Rows that were deleted, as SQL literals.
pub(crate) type DeletedRows = Vec<(&'static str, Vec<String>)>;

/// Who writes, and what there was.
pub(crate) struct ExternalWriter<'a> {
    pub(crate) fixture: &'a Fixture<'a>,
    pub(crate) server: &'a mut Server,
    pub(crate) deleted_rows: &'a mut DeletedRows,
}

/// A value's SQL literals, between which this stands.
const BETWEEN: char = '\u{1f}';

type Done = Result<Option<String>, String>;

impl ExternalWriter<'_> {
    fn tables(&self) -> Vec<&'static TableDesc> {
        let synced = self.fixture.shown.tables.iter().map(|table| table.desc.name);
        let is_replayed = |name: &str| self.fixture.replayed.iter().any(|table| table.name == name);
        let free = synced.filter(|name| !self.fixture.untouched.contains(name) && !is_replayed(name));
        let all = &self.fixture.versions[self.server.version].tables;
        free.filter_map(|name| all.iter().find(|table| table.name == name).copied()).collect()
    }

    /// The rows of a table as literals, in the order of their keys.
    async fn rows(&mut self, table: &TableDesc) -> Result<Vec<Vec<String>>, String> {
        let values: Vec<String> = columns(table).map(|column| format!("quote({})", quote(column.name))).collect();
        let keys: Vec<String> = table.key_columns().map(|column| quote(column.name)).collect();
        let text = values.join(&format!(" || '{BETWEEN}' || "));
        let sql = format!("select {text} from {} order by {}", quote(table.name), keys.join(", "));
        let rows = self.server.texts(&sql).await?;
        Ok(rows.iter().map(|row| row.split(BETWEEN).map(str::to_owned).collect()).collect())
    }

    async fn some(&mut self, random: &mut Random) -> Result<Option<(&'static TableDesc, Vec<String>)>, String> {
        let tables = self.tables();
        let Some(table) = pick(&tables, random).copied() else { return Ok(None) };
        let rows = self.rows(table).await?;
        Ok(pick(&rows, random).map(|row| (table, row.clone())))
    }

    async fn run(&mut self, sql: String) -> Done {
        // What breaks a constraint of the app's is refused, as anybody's would be.
        match self.server.sql(&sql).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(sql)),
            Err(error) if error.contains("constraint") || error.contains("none of the texts") => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn delete(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("delete {draw}"));
        let Some((table, row)) = self.some(&mut random).await? else { return Ok(None) };
        let sql = format!("delete from {} where {}", quote(table.name), key_is(table, &row));
        self.deleted_rows.push((table.name, row));
        self.run(sql).await
    }

    pub(crate) async fn revive(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("revive {draw}"));
        let names: Vec<&str> = self.tables().iter().map(|table| table.name).collect();
        let deleted_rows: Vec<_> = self.deleted_rows.iter().filter(|(name, _)| names.contains(name)).cloned().collect();
        let Some((name, row)) = pick(&deleted_rows, &mut random) else { return Ok(None) };
        let Some(table) = self.tables().into_iter().find(|table| table.name == *name) else { return Ok(None) };
        let sql = insert(table, row);
        self.run(sql).await
    }

    /// A row takes the place of another one, by its key or by another column that is unique: its values, in the other's bucket or
    /// in one of its own.
    pub(crate) async fn replace(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("replace {draw}"));
        let Some((table, mut row)) = self.some(&mut random).await? else { return Ok(None) };
        let rows = self.rows(table).await?;
        let Some(other) = pick(&rows, &mut random).cloned() else { return Ok(None) };
        let own_key = random.below(2) == 0;
        for (at, column) in columns(table).enumerate() {
            let is_key = table.key_columns().any(|key| key.name == column.name);
            // With its own key it takes the other's place by what else is unique; with the other's key it moves there.
            let is_taken = if own_key { column.unique } else { is_key };
            let is_dropped = !own_key && column.unique && column.nullable;
            if is_taken {
                row[at].clone_from(&other[at]);
            } else if is_dropped {
                "null".clone_into(&mut row[at]);
            }
        }
        self.deleted_rows.push((table.name, other));
        let sql = insert(table, &row).replacen("insert or ignore", "replace", 1);
        self.run(sql).await
    }

    pub(crate) async fn insert(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("insert {draw}"));
        let Some((table, mut row)) = self.some(&mut random).await? else { return Ok(None) };
        for (value, column) in row.iter_mut().zip(columns(table)) {
            let is_key = table.key_columns().last().is_some_and(|key| key.name == column.name);
            if is_key || (column.unique && value != "NULL") {
                *value = match column.sql {
                    SqlType::Uuid => format!("x'{:032x}'", u128::from(draw) + 1),
                    SqlType::Int2 | SqlType::Int4 | SqlType::Int8 => (1_000 + draw % 10_000).to_string(),
                    _ => literal(&format!("x{draw}")),
                };
            }
        }
        let sql = insert(table, &row);
        self.run(sql).await
    }

    pub(crate) async fn change(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("change {draw}"));
        if !self.fixture.replayed.is_empty() && random.below(3) == 0 {
            return self.change_past_order(&mut random).await;
        }
        let Some((table, row)) = self.some(&mut random).await? else { return Ok(None) };
        match self.changed(table, &row, &mut random) {
            Some(sql) => self.run(sql).await,
            None => Ok(None),
        }
    }

    /// A row of a replayed table is changed or deleted, or one is made, by somebody who says so; it stays in its bucket.
    async fn change_past_order(&mut self, random: &mut Random) -> Done {
        let fixture = self.fixture;
        let free: Vec<_> =
            fixture.replayed.iter().copied().filter(|table| !fixture.untouched.contains(&table.name)).collect();
        let Some(table) = pick(&free, random).copied() else { return Ok(None) };
        let rows = self.rows(table).await?;
        let Some(row) = pick(&rows, random).cloned() else { return Ok(None) };
        let sql = match random.below(3) {
            0 => Some(format!("delete from {} where {}", quote(table.name), key_is(table, &row))),
            _ => self.changed(table, &row, random),
        };
        let (Some(sql), Some(space)) = (sql, plain::space_of_row(fixture, table, |name| value_of(table, &row, name)))
        else {
            return Ok(None);
        };
        if self.server.sql_past_order(&sql).await? == 0 {
            return Ok(None);
        }
        if let Some(plain) = &mut self.server.plain {
            plain.write(&space, &sql);
        }
        Ok(Some(sql))
    }

    /// The statement that changes a row in its bucket.
    fn changed(&self, table: &TableDesc, row: &[String], random: &mut Random) -> Option<String> {
        let scope = self.scope_columns(table.name);
        let free: Vec<&ColumnDesc> = columns(table)
            .filter(|column| !column.unique && column.crdt.is_none() && !scope.contains(&column.name))
            .filter(|column| table.key_columns().all(|key| key.name != column.name))
            .filter(|column| {
                matches!(column.sql, SqlType::Bool | SqlType::Int4 | SqlType::Int8)
                    || (column.sql == SqlType::Text && column.schema.is_none())
            })
            .collect();
        let column = pick(&free, random)?;
        let value = match column.sql {
            SqlType::Bool => random.below(2).to_string(),
            SqlType::Int4 | SqlType::Int8 => random.below(50).to_string(),
            _ if !column.texts.is_empty() => literal(pick(column.texts, random).copied().unwrap_or_default()),
            _ => literal(&format!("changed {}", random.below(100))),
        };
        Some(format!("update {} set {} = {value} where {}", quote(table.name), quote(column.name), key_is(table, row)))
    }

    /// Columns by which some rule finds a row's bucket.
    fn scope_columns(&self, table: &str) -> Vec<&'static str> {
        let lines = self.fixture.rules.iter().flat_map(|rule| &rule.tables).filter(|line| line.table.name == table);
        lines.flat_map(|line| line.scope.iter().map(|&at| line.table.columns[at].name)).collect()
    }

    pub(crate) async fn relocate(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("move {draw}"));
        let Some((table, row)) = self.some(&mut random).await? else { return Ok(None) };
        let mut ways = Vec::new();
        for rule in &self.fixture.rules {
            for line in rule.tables.iter().filter(|line| line.table.name == table.name) {
                ways.extend(
                    line.scope.iter().zip(&rule.params).map(|(&at, param)| (line.table.columns[at].name, param)),
                );
            }
        }
        let Some((column, param)) = pick(&ways, &mut random) else { return Ok(None) };
        let values = self.values(&param.source).await?;
        let Some(value) = pick(&values, &mut random) else { return Ok(None) };
        let sql = format!("update {} set {} = {value} where {}", quote(table.name), quote(column), key_is(table, &row));
        self.run(sql).await
    }

    /// Values that a parameter takes for anybody.
    async fn values(&mut self, source: &ParamSource) -> Result<Vec<String>, String> {
        let mut values: Vec<String> = match source {
            ParamSource::Claim(claim) => self
                .fixture
                .users
                .iter()
                .filter_map(|user| claim.get(user))
                .map(|value| scope_literal(&value))
                .collect(),
            ParamSource::Member { table, column, .. } => {
                let name = table.columns[*column].name;
                let at = columns(table).position(|known| known.name == name).unwrap_or_default();
                let mut rows = self.rows(table).await?;
                rows.extend(self.deleted_rows.iter().filter(|(of, _)| *of == table.name).map(|(_, row)| row.clone()));
                rows.into_iter().map(|row| row[at].clone()).collect()
            }
        };
        values.sort();
        values.dedup();
        Ok(values)
    }

    pub(crate) async fn revoke(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("revoke {draw}"));
        let memberships = memberships(&self.fixture.rules);
        let Some((table, ..)) = pick(&memberships, &mut random).copied() else { return Ok(None) };
        let rows = self.rows(table).await?;
        let Some(row) = pick(&rows, &mut random).cloned() else { return Ok(None) };
        let sql = format!("delete from {} where {}", quote(table.name), key_is(table, &row));
        self.deleted_rows.push((table.name, row));
        self.run(sql).await
    }

    pub(crate) async fn grant(&mut self, draw: u32) -> Done {
        let mut random = Random::of(&format!("grant {draw}"));
        let memberships = memberships(&self.fixture.rules);
        let Some((table, column, filters)) = pick(&memberships, &mut random).copied() else { return Ok(None) };
        let mut rows = self.rows(table).await?;
        rows.extend(self.deleted_rows.iter().filter(|(of, _)| *of == table.name).map(|(_, row)| row.clone()));
        let Some(row) = pick(&rows, &mut random) else { return Ok(None) };
        let mut named: BTreeMap<&str, String> =
            columns(table).map(|column| column.name).zip(row.iter().cloned()).collect();
        let Some(user) = pick(&self.fixture.users, &mut random) else { return Ok(None) };
        for filter in filters {
            if let MemberFilter::Claim { column, claim } = filter
                && let Some(value) = claim.get(user)
            {
                named.insert(table.columns[*column].name, scope_literal(&value));
            }
        }
        let name = table.columns[column].name;
        let at = columns(table).position(|known| known.name == name).unwrap_or_default();
        let values: Vec<String> = rows.iter().map(|row| row[at].clone()).collect();
        if let Some(value) = pick(&values, &mut random) {
            named.insert(name, value.clone());
        }
        let row: Vec<String> =
            columns(table).map(|column| named.get(column.name).cloned().unwrap_or_default()).collect();
        let sql = insert(table, &row);
        self.run(sql).await
    }
}

/// The tables that memberships come from, with the column of buckets.
fn memberships(rules: &[Rule]) -> Vec<(&'static TableDesc, ColumnIndex, &[MemberFilter])> {
    let params = rules.iter().flat_map(|rule| &rule.params);
    params
        .filter_map(|param| match &param.source {
            ParamSource::Member { table, column, filters } => Some((*table, *column, filters.as_slice())),
            ParamSource::Claim(_) => None,
        })
        .collect()
}

fn columns(table: &TableDesc) -> impl Iterator<Item = &'static ColumnDesc> {
    table.columns.iter().filter(|column| column.generated.is_none() && column.name != ADDED)
}

fn insert(table: &TableDesc, row: &[String]) -> String {
    let names: Vec<String> = columns(table).map(|column| quote(column.name)).collect();
    format!("insert or ignore into {} ({}) values ({})", quote(table.name), names.join(", "), row.join(", "))
}

/// The literal of a column in a row.
fn value_of(table: &TableDesc, row: &[String], name: &str) -> String {
    columns(table).position(|column| column.name == name).map(|at| row[at].clone()).unwrap_or_default()
}

fn key_is(table: &TableDesc, row: &[String]) -> String {
    let of = |key: &ColumnDesc| format!("{} = {}", quote(key.name), value_of(table, row, key.name));
    table.key_columns().map(of).collect::<Vec<_>>().join(" and ")
}

fn pick<'a, T>(from: &'a [T], random: &mut Random) -> Option<&'a T> {
    let at = random.below(from.len() as u64);
    from.get(usize::try_from(at).unwrap_or(0))
}
