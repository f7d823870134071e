//! A device written from the protocol's text: a map of rows, and what each answer does to it.

use super::plain::{Image, Key, Plain, Rows};
use super::shape::{Column, TEXTS, Type};
use nizhal_core::wire::Wire;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) wire: Wire,
    pub(super) rows: Rows,
    pub(super) cursor: String,
    /// By name in wire 2, the buckets that it holds, each with the step since which it does.
    pub(super) since: BTreeMap<String, usize>,
    /// What it was before each answer.
    past: Vec<(Rows, String, BTreeMap<String, usize>)>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    In,
    /// It made the device begin anew.
    Anew,
}

/// An answer, read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Page {
    pub(super) rows: Vec<(Key, Image)>,
    pub(super) gone: Vec<Key>,
    pub(super) lost: Vec<String>,
    pub(super) cursor: String,
    pub(super) reset: bool,
    pub(super) has_more: bool,
    pub(super) last_mutation_id: Option<i64>,
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn list<'v>(page: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    page[field].as_array().into_iter().flatten()
}

impl Page {
    /// Reads an answer; what is not as the wire protocol says is told.
    pub(super) fn read(plain: Plain<'_>, wire: Wire, body: &Value) -> Result<Self, String> {
        let mut page = Self {
            lost: list(body, "removedBuckets").filter_map(text).collect(),
            cursor: text(&body["cursor"]).ok_or("a page without a cursor")?,
            reset: body["cursorReset"] == true,
            has_more: body["hasMore"] == true,
            last_mutation_id: body["lastMutationId"].as_i64(),
            ..Self::default()
        };
        // Between two priorities too.
        let is_between = wire == Wire::Two && list(body, "laterRules").next().is_some();
        let is_complete = body["complete"] == true;
        if is_complete != (wire == Wire::Two && !page.has_more) && !(is_complete && is_between) {
            return Err("inv11: `complete` belongs to the page without `hasMore`, in wire 2".to_owned());
        }
        let table_of = |value: &Value| {
            let found = plain.shape.tables.iter().position(|table| Some(table.name) == value.as_str());
            found.ok_or_else(|| format!("a table of the name {value}"))
        };
        let mut seen = BTreeSet::new();
        for batch in list(body, "changed") {
            let at = table_of(&batch["table"])?;
            for row in list(batch, "rows") {
                let image = image(plain, at, row)?;
                let key = (at, plain.key(at, &image));
                if !seen.insert(key.clone()) {
                    return Err(format!("a row came twice in one answer: {key:?}"));
                }
                page.rows.push((key, image));
            }
        }
        for gone in list(body, "tombstoned").chain(list(body, "removed")) {
            let at = table_of(&gone["table"])?;
            let id = text(&gone["id"]).ok_or("a tombstone without an id")?;
            if let Some(client) = gone.get("key").map(|key| key.as_str().unwrap_or_default()) {
                let has_one = plain.shape.tables[at].column("client_id").is_some();
                if !has_one || client == id || !TEXTS.contains(&client) {
                    return Err(format!("a tombstone's key {client:?} is not the client_id of {id}"));
                }
            }
            let key = (at, id);
            if seen.contains(&key) {
                return Err(format!("inv07: {key:?} is changed and gone in one answer"));
            }
            page.gone.push(key);
        }
        Ok(page)
    }
}

fn image(plain: Plain<'_>, at: usize, row: &Value) -> Result<Image, String> {
    let columns = &plain.shape.tables[at].columns;
    let fields = row.as_object().ok_or("a row that is no object")?;
    let wanted: BTreeSet<&str> = columns
        .iter()
        .filter(|column| !column.private)
        .map(|column| column.name)
        .chain(["updated_at", "deleted_at"])
        .collect();
    if fields.keys().map(String::as_str).collect::<BTreeSet<_>>() != wanted {
        return Err(format!("inv02: a row with other columns than {wanted:?}: {row}"));
    }
    let shown = |column: &Column| match (&row[column.name], column.ty) {
        _ if column.private => None,
        (blob, Type::Blob) => text(&blob["sha256"]),
        (value, _) => text(value),
    };
    Ok(columns.iter().map(shown).collect())
}

impl Device {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, rows: Rows::new(), cursor: String::new(), since: BTreeMap::new(), past: Vec::new() }
    }

    /// Takes an answer in, that came when the actor held these buckets.
    pub(super) fn take(&mut self, plain: Plain<'_>, page: &Page, names: &BTreeSet<String>, since: usize) -> Taken {
        self.past.push((self.rows.clone(), self.cursor.clone(), self.since.clone()));
        if page.reset {
            self.rows.clear();
            self.since.clear();
        }
        self.since.retain(|name, _| names.contains(name));
        for name in names {
            self.since.entry(name.clone()).or_insert(since);
        }
        let qualified = self.wire == Wire::Two;
        let is_hidden = |(table, _): &Key| plain.hides_place(*table);
        if !page.lost.is_empty() && self.rows.keys().any(is_hidden) {
            // Whether these rows are to be purged cannot be told here: all is asked for again.
            self.rows.clear();
            self.since.clear();
            self.cursor.clear();
            return Taken::Anew;
        }
        self.rows.retain(|(table, _), row| {
            page.lost.is_empty() || plain.names(*table, row, qualified).iter().all(|name| !page.lost.contains(name))
        });
        for key in &page.gone {
            self.rows.remove(key);
        }
        for (key, row) in &page.rows {
            self.rows.insert(key.clone(), row.clone());
        }
        self.cursor.clone_from(&page.cursor);
        Taken::In
    }

    /// Goes back to what it was that many answers ago.
    pub(super) fn go_back(&mut self, by: usize) {
        for _ in 0..by {
            if let Some(before) = self.past.pop() {
                (self.rows, self.cursor, self.since) = before;
            }
        }
    }
}
