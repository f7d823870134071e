//! The other side: a shape's changes and what its actors may see, in SQL that knows nothing of the engine.

use super::shape::{Actor, Bound, Claim, Column, Condition, Shape, Source, Table, Type, Value, hash};
use nizhal_tests::{Connection, Kind};
use std::collections::{BTreeMap, BTreeSet};

/// A row's table and key as the wire names it.
pub(super) type Key = (usize, String);
/// A row's columns as text; private ones are `None`, as NULLs are.
pub(super) type Image = Vec<Option<String>>;
pub(super) type Rows = BTreeMap<Key, Image>;
/// For each table its rows with all their columns, and whether each is softly deleted.
pub(super) type Dump = Vec<BTreeSet<Image>>;
/// For each rule and parameter, the values that an actor has.
pub(super) type Scope = Vec<Vec<BTreeSet<String>>>;

/// As text, so that a `union` has one type.
const NULL: &str = "cast(null as text)";

/// One change, as data.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Insert {
        table: usize,
        row: Vec<Value>,
        clash: Clash,
    },
    Update {
        table: usize,
        set: Vec<(usize, Value)>,
        only: Only,
    },
    Delete {
        table: usize,
        only: Only,
    },
    /// Softly deletes, or takes that back.
    Bury {
        table: usize,
        only: Only,
        dead: bool,
        stamp: i64,
    },
    Truncate {
        table: usize,
    },
    Savepoint,
    RollBack,
    Release,
}

/// What an insert does when the key is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    Fails,
    Updates,
    /// `insert or replace` where the database has it.
    Replaces,
    Nothing,
}

/// Which rows.
#[derive(Clone, Debug)]
pub(super) enum Only {
    All,
    Key(Vec<Value>),
    Where(usize, Value),
}

/// A shape on one of the databases.
#[derive(Clone, Copy)]
pub(super) struct Plain<'a> {
    pub(super) shape: &'a Shape,
    pub(super) kind: Kind,
}

impl Plain<'_> {
    fn literal(self, value: Value) -> String {
        match (value, self.kind) {
            (Value::Null, _) => "null".to_owned(),
            (Value::Text(text), _) => format!("'{}'", text.replace('\'', "''")),
            (Value::Int(int), _) => int.to_string(),
            (Value::Bool(value), Kind::Postgres) => value.to_string(),
            (Value::Bool(value), Kind::Sqlite) => u8::from(value).to_string(),
            (Value::Uuid(id), Kind::Postgres) => format!("'{}'::uuid", uuid::Uuid::from_u128(id)),
            (Value::Uuid(id), Kind::Sqlite) => format!("x'{id:032x}'"),
            (Value::Blob(digit), _) => format!(r#"'{{"sha256":"{}","size":7,"mime":"image/png"}}'"#, hash(digit)),
        }
    }

    /// `column = value`, where NULL is a value as any.
    fn is(self, column: &Column, value: Value) -> String {
        match value {
            Value::Null => format!("{} is null", column.name),
            value => format!("{} = {}", column.name, self.literal(value)),
        }
    }

    fn only(self, table: &Table, only: &Only) -> String {
        match only {
            Only::All => String::new(),
            Only::Where(at, value) => format!(" where {}", self.is(&table.columns[*at], *value)),
            Only::Key(values) => {
                let parts: Vec<String> =
                    table.key.iter().zip(values).map(|(at, value)| self.is(&table.columns[*at], *value)).collect();
                format!(" where {}", parts.join(" and "))
            }
        }
    }

    /// The statements of these changes; what ends a savepoint that was never made is left out.
    pub(super) fn statements(self, changes: &[Change]) -> Vec<String> {
        let mut open = 0_usize;
        let mut statements = Vec::new();
        for change in changes {
            match change {
                Change::Savepoint => open += 1,
                Change::RollBack | Change::Release if open == 0 => continue,
                Change::Release => open -= 1,
                _ => {}
            }
            statements.push(self.statement(change));
        }
        statements
    }

    fn statement(self, change: &Change) -> String {
        let name = |table: &usize| self.shape.tables[*table].name;
        match change {
            Change::Savepoint => "savepoint s".to_owned(),
            Change::RollBack => "rollback to savepoint s".to_owned(),
            Change::Release => "release savepoint s".to_owned(),
            Change::Insert { table, row, clash } => self.insert(&self.shape.tables[*table], row, *clash),
            Change::Update { table, set, only } => {
                let table = &self.shape.tables[*table];
                let sets: Vec<String> = set
                    .iter()
                    .map(|(at, value)| format!("{} = {}", table.columns[*at].name, self.literal(*value)))
                    .collect();
                format!("update {} set {}{}", table.name, sets.join(", "), self.only(table, only))
            }
            Change::Delete { table, only } => {
                format!("delete from {}{}", name(table), self.only(&self.shape.tables[*table], only))
            }
            Change::Bury { table, only, dead, stamp } => {
                let when = if *dead { "'2026-01-01T00:00:00+00:00'" } else { "null" };
                let only = self.only(&self.shape.tables[*table], only);
                format!("update {} set deleted_at = {when}, v = {stamp}{only}", name(table))
            }
            Change::Truncate { table } if self.kind == Kind::Postgres => format!("truncate {}", name(table)),
            Change::Truncate { table } => format!("delete from {}", name(table)),
        }
    }

    fn insert(self, table: &Table, row: &[Value], clash: Clash) -> String {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name).collect();
        let values: Vec<String> = row.iter().map(|value| self.literal(*value)).collect();
        let into = format!("into {} ({}) values ({})", table.name, columns.join(", "), values.join(", "));
        let keys: Vec<&str> = table.key.iter().map(|at| columns[*at]).collect();
        match clash {
            Clash::Fails => format!("insert {into}"),
            Clash::Nothing => format!("insert {into} on conflict do nothing"),
            Clash::Replaces if self.kind == Kind::Sqlite => format!("insert or replace {into}"),
            Clash::Updates | Clash::Replaces => {
                let rest = columns.iter().enumerate().filter(|(at, _)| !table.key.contains(at));
                let sets: Vec<String> = rest.map(|(_, name)| format!("{name} = excluded.{name}")).collect();
                format!("insert {into} on conflict ({}) do update set {}", keys.join(", "), sets.join(", "))
            }
        }
    }

    /// A column as the text that the wire would show.
    fn text(self, column: &Column) -> String {
        let name = column.name;
        match (column.ty, self.kind) {
            (Type::Text, _) => name.to_owned(),
            (Type::Blob, Kind::Postgres) => format!("{name} ->> 'sha256'"),
            (Type::Blob, Kind::Sqlite) => format!("json_extract({name}, '$.sha256')"),
            (Type::Bool, Kind::Sqlite) => format!("case {name} when 1 then 'true' when 0 then 'false' end"),
            (Type::Uuid, Kind::Sqlite) => {
                let hex = |from: u8, length: u8| format!("substr(lower(hex({name})), {from}, {length})");
                [hex(1, 8), hex(9, 4), hex(13, 4), hex(17, 4), hex(21, 12)].join(" || '-' || ")
            }
            _ => format!("cast({name} as text)"),
        }
    }

    /// A condition in SQL; `bound` says what stands behind a column that is bound, and nothing where it may be anything.
    fn condition(self, table: &Table, condition: &Condition, bound: &dyn Fn(Bound) -> Option<String>) -> String {
        let joined = |parts: &[Condition], word: &str| {
            let parts: Vec<String> = parts.iter().map(|part| self.condition(table, part, bound)).collect();
            if parts.is_empty() { "true".to_owned() } else { format!("({})", parts.join(word)) }
        };
        match condition {
            Condition::Is(filter) => {
                let operator = if filter.negated { "<>" } else { "=" };
                format!("{} {operator} {}", table.columns[filter.column].name, self.literal(filter.value))
            }
            Condition::Bound { column, to } => {
                bound(*to).map_or_else(|| "true".to_owned(), |to| format!("{} {to}", table.columns[*column].name))
            }
            Condition::All(parts) => joined(parts, " and "),
            Condition::Any(parts) => joined(parts, " or "),
        }
    }

    fn claim(self, actor: &Actor, claim: Claim) -> String {
        self.literal(actor.claim(claim))
    }

    /// A query for the values of a parameter that the actor has; its one column is as the database keeps it, or as text.
    fn values(self, actor: &Actor, source: &Source, as_text: bool) -> String {
        match source {
            Source::Claim(claim) if as_text => format!("select {} as y", self.claim_text(actor, *claim)),
            Source::Claim(claim) => format!("select {}", self.claim(actor, *claim)),
            Source::Member { table: at, column, condition } => {
                let table = &self.shape.tables[*at];
                let of_actor = |bound| match bound {
                    Bound::Claim(claim) => Some(format!("= {}", self.claim(actor, claim))),
                    Bound::Param(_) => unreachable!("a membership is bound to claims"),
                };
                let mut conditions = vec![self.condition(table, condition, &of_actor)];
                if self.shape.synced_tables().contains(at) {
                    // A membership that was softly deleted is none.
                    conditions.push("deleted_at is null".to_owned());
                }
                let column = &table.columns[*column];
                let value = if as_text { self.text(column) } else { column.name.to_owned() };
                format!("select {value} as y from {} where {}", table.name, conditions.join(" and "))
            }
        }
    }

    fn claim_text(self, actor: &Actor, claim: Claim) -> String {
        match claim {
            Claim::Number => format!("'{}'", actor.number),
            Claim::Id => format!("'{}'", uuid::Uuid::from_u128(actor.id)),
            Claim::Shop if actor.shop.is_none() => NULL.to_owned(),
            claim => self.claim(actor, claim),
        }
    }

    /// What the actor may see now.
    pub(super) async fn visible(self, db: &mut Connection, actor: &Actor) -> Rows {
        let mut parts = Vec::new();
        for (at, table) in self.shape.tables.iter().enumerate() {
            let mut ways = Vec::new();
            for rule in &self.shape.rules {
                for synced in rule.tables.iter().filter(|synced| synced.table == at) {
                    ways.push(self.condition(table, &synced.condition, &|bound| match bound {
                        Bound::Param(at) => {
                            Some(format!("in ({})", self.values(actor, &rule.params[at].source, false)))
                        }
                        Bound::Claim(_) => unreachable!("a row is bound to parameters"),
                    }));
                }
            }
            if !ways.is_empty() {
                let shown = |column: &Column| if column.private { NULL.to_owned() } else { self.text(column) };
                let columns = table.columns.iter().map(shown).collect();
                parts.push((at, columns, format!("deleted_at is null and ({})", ways.join(" or "))));
            }
        }
        let mut rows = Rows::new();
        for (part, image) in self.all(db, &parts).await {
            let table = parts[part].0;
            rows.insert((table, self.key(table, &image)), image);
        }
        rows
    }

    /// Every row that shows in a bucket now, by the bucket's name in wire 2, whoever holds that.
    pub(super) async fn shown(self, db: &mut Connection) -> BTreeSet<(String, Key)> {
        let mut parts = Vec::new();
        let mut buckets = Vec::new();
        for rule in &self.shape.rules {
            for synced in &rule.tables {
                let table = &self.shape.tables[synced.table];
                let shows = self.condition(table, &synced.condition, &|_| None);
                let columns = table.columns.iter().map(|column| self.text(column)).collect();
                parts.push((synced.table, columns, format!("deleted_at is null and {shows}")));
                buckets.push((rule.name, &synced.scope));
            }
        }
        let mut shown = BTreeSet::new();
        for (part, image) in self.all(db, &parts).await {
            let (rule, scope) = buckets[part];
            let values: Vec<&str> = scope.iter().map(|at| image[*at].as_deref().unwrap_or("")).collect();
            shown.insert((name(rule, &values, true), (parts[part].0, self.key(parts[part].0, &image))));
        }
        shown
    }

    /// The whole database, but for what the engine keeps.
    pub(super) async fn dump(self, db: &mut Connection) -> Dump {
        let synced = self.shape.synced_tables();
        let mut parts = Vec::new();
        for (at, table) in self.shape.tables.iter().enumerate() {
            let mut columns: Vec<String> = table.columns.iter().map(|column| self.text(column)).collect();
            if synced.contains(&at) {
                columns.push("case when deleted_at is null then 'lives' else 'dead' end".to_owned());
            }
            parts.push((at, columns, "true".to_owned()));
        }
        let mut dump = vec![BTreeSet::new(); self.shape.tables.len()];
        for (at, image) in self.all(db, &parts).await {
            dump[at].insert(image);
        }
        dump
    }

    /// These columns of these tables where these conditions hold, each row with the place of its part; in one statement, for a
    /// case asks thousands of times.
    async fn all(self, db: &mut Connection, parts: &[(usize, Vec<String>, String)]) -> Vec<(usize, Image)> {
        let most = parts.iter().map(|(_, columns, _)| columns.len()).max().unwrap_or_default();
        let one = |(at, (table, columns, condition)): (usize, &(usize, Vec<String>, String))| {
            let rest = std::iter::repeat_n(NULL, most - columns.len());
            let all: Vec<&str> = columns.iter().map(String::as_str).chain(rest).collect();
            format!("select '{at}', {} from {} where {condition}", all.join(", "), self.shape.tables[*table].name)
        };
        let sql: Vec<String> = parts.iter().enumerate().map(one).collect();
        let mut found = Vec::new();
        for mut row in db.rows(&sql.join(" union all ")).await {
            let mut image = row.split_off(1);
            let at: usize = row[0].as_deref().and_then(|at| at.parse().ok()).expect("a part's place");
            image.truncate(parts[at].1.len());
            found.push((at, image));
        }
        found
    }

    /// The parameters' values that the actor has now.
    pub(super) async fn scope(self, db: &mut Connection, actor: &Actor) -> Scope {
        let mut scope: Scope = self.shape.rules.iter().map(|rule| vec![BTreeSet::new(); rule.params.len()]).collect();
        let mut parts = Vec::new();
        for (at, rule) in self.shape.rules.iter().enumerate() {
            for (param_at, param) in rule.params.iter().enumerate() {
                parts.push(format!(
                    "select '{at}', '{param_at}', x.y from ({}) x",
                    self.values(actor, &param.source, true)
                ));
            }
        }
        for row in db.rows(&parts.join(" union all ")).await {
            let number = |at: usize| row[at].as_deref().and_then(|text| text.parse::<usize>().ok()).expect("a place");
            // A claim may be absent; no column that gives a parameter's values is NULL.
            scope[number(0)][number(1)].extend(row[2].clone());
        }
        scope
    }

    /// The key as tombstones name it.
    pub(super) fn key(self, table: usize, image: &Image) -> String {
        let parts: Vec<&str> =
            self.shape.tables[table].key.iter().map(|at| image[*at].as_deref().expect("keys are not null")).collect();
        match parts.as_slice() {
            [only] => (*only).to_owned(),
            parts => serde_json::json!(parts).to_string(),
        }
    }

    /// Whether every bucket that this image of a row is in is the actor's.
    pub(super) fn is_within(self, scope: &Scope, table: usize, image: &Image) -> bool {
        self.shape.rules.iter().zip(scope).all(|(rule, values)| {
            let mut of_rule = rule.tables.iter().filter(|synced| synced.table == table);
            of_rule.all(|synced| {
                let mut places = synced.scope.iter().zip(values);
                // Everybody holds a public bucket, so holding it allows nothing.
                !rule.public
                    && places.all(|(at, values)| image[*at].as_ref().is_some_and(|value| values.contains(value)))
            })
        })
    }

    /// Whether the table says what parameters' values actors have.
    pub(super) fn gives_buckets(self, table: usize) -> bool {
        let mut params = self.shape.rules.iter().flat_map(|rule| &rule.params);
        params.any(|param| matches!(&param.source, Source::Member { table: source, .. } if *source == table))
    }

    /// The names of the buckets that could have given a device this row.
    pub(super) fn names(self, table: usize, image: &Image, qualified: bool) -> Vec<String> {
        let mut names = Vec::new();
        for rule in &self.shape.rules {
            for synced in rule.tables.iter().filter(|synced| synced.table == table) {
                let values: Vec<&str> = synced.scope.iter().map(|at| image[*at].as_deref().unwrap_or("")).collect();
                names.push(name(rule.name, &values, qualified));
            }
        }
        names
    }

    /// Whether devices cannot tell from a row of this table which buckets it is in.
    pub(super) fn hides_place(self, table: usize) -> bool {
        let synced = self.shape.rules.iter().flat_map(|rule| &rule.tables).filter(|synced| synced.table == table);
        synced.flat_map(|synced| &synced.scope).any(|at| self.shape.tables[table].columns[*at].private)
    }

    /// The names of all buckets of a scope.
    pub(super) fn all_names(self, scope: &Scope, qualified: bool) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for (rule, params) in self.shape.rules.iter().zip(scope) {
            let mut heads: Vec<Vec<&str>> = vec![Vec::new()];
            for values in params {
                let mut longer = Vec::new();
                for head in &heads {
                    longer.extend(values.iter().map(|value| [head.as_slice(), &[value.as_str()]].concat()));
                }
                heads = longer;
            }
            names.extend(heads.iter().map(|values| name(rule.name, values, qualified)));
        }
        names
    }
}

/// A bucket's name as the wire protocol spells it: the bare value; several percent-encoded and joined; the rule before it in wire 2.
fn name(rule: &str, values: &[&str], qualified: bool) -> String {
    let encoded = |value: &str| -> String {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        value.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let bare = match values {
        [] => "*".to_owned(),
        [only] => (*only).to_owned(),
        several => several.iter().map(|value| encoded(value)).collect::<Vec<_>>().join("/"),
    };
    if qualified { format!("{rule}:{bare}") } else { bare }
}
