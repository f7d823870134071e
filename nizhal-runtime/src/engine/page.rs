//! A page of a pull while it grows: rows by table, what is gone, and the JSON of it all.

use crate::store::{Change, RowState, Unreadable};
use nizhal_core::{
    Rule, TableDesc, key,
    wire::{Gone, ImageRef, RevisedMutation},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// One page in the making.
pub(super) struct Page {
    tables: Vec<Rows>,
    /// Rows already here, of the tables of which one may come twice.
    seen: HashSet<(usize, Vec<String>)>,
    /// How many rows are here.
    rows: usize,
    /// By table and id: deleted or not, and the client's key.
    gone: BTreeMap<(usize, String), (bool, Option<String>)>,
    /// Rows that are there and cannot be read.
    unreadable: BTreeSet<Unreadable>,
}

/// The fields of a page beside its rows and what is gone.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trailer {
    pub(super) removed_buckets: Vec<String>,
    pub(super) cursor: String,
    pub(super) epoch: String,
    #[serde(rename = "cursorReset", skip_serializing_if = "std::ops::Not::not")]
    pub(super) reset: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_more: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) complete: bool,
    /// The rules of which buckets come with later pulls.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) later_rules: BTreeSet<String>,
    /// How many rows come with this answer and those after it, where the client asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_mutation_id: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) images: Vec<ImageRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) revised: Vec<RevisedMutation>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) unreadable: BTreeSet<Unreadable>,
    /// Whether the client knows of rows that cannot be read.
    #[serde(skip)]
    pub(super) lists_unreadable: bool,
}

struct Rows {
    name: &'static str,
    /// The rows' objects with commas between.
    json: Vec<u8>,
    /// Whether a row may come twice.
    repeats: bool,
    /// The rows already here, for as long as none may.
    keys: Vec<Vec<String>>,
}

impl Page {
    /// An empty one of these tables; of each it is known whether its rows may come twice.
    pub(super) fn new(tables: &[&'static TableDesc], repeats: &[bool]) -> Self {
        let rows = |(table, &repeats): (&&'static TableDesc, &bool)| Rows {
            name: table.name,
            json: Vec::new(),
            repeats,
            keys: Vec::new(),
        };
        let tables = tables.iter().zip(repeats);
        Self {
            tables: tables.map(rows).collect(),
            seen: HashSet::new(),
            rows: 0,
            gone: BTreeMap::new(),
            unreadable: BTreeSet::new(),
        }
    }

    /// Adds a change; a row that is here already is passed over.
    pub(super) fn push(&mut self, change: Change) {
        let count = self.tables.len();
        match change.state {
            RowState::Row(row) => {
                let table = &mut self.tables[change.slot];
                if !table.repeats {
                    table.keys.push(change.key);
                } else if !self.seen.insert((change.slot, change.key)) {
                    return;
                }
                self.rows += 1;
                if !table.json.is_empty() {
                    table.json.push(b',');
                }
                table.json.extend_from_slice(&row);
            }
            // The device drops what it had of it, and is told why.
            RowState::Unreadable(column) => {
                let (table, id) = (self.tables[change.slot].name.to_owned(), key::join(&change.key));
                self.gone.entry((change.slot, id.clone())).or_default();
                self.push_unreadable(Unreadable { table, id, column: column.to_owned() });
            }
            RowState::Gone { deleted, client_key } => {
                let id = change.key.into_iter().next().unwrap_or_default();
                let entry = self.gone.entry((change.slot - count, id)).or_default();
                // One bucket may have seen it move and another deleted: deleted says more.
                *entry = (entry.0 || deleted, client_key.or_else(|| entry.1.take()));
            }
        }
    }

    /// Adds rows that are not here yet and come no second time: their objects with commas between.
    pub(super) fn push_rows(&mut self, slot: usize, json: Vec<u8>, count: usize) {
        let table = &mut self.tables[slot];
        if table.json.is_empty() {
            table.json = json;
        } else {
            table.json.push(b',');
            table.json.extend_from_slice(&json);
        }
        self.rows += count;
    }

    /// Adds a row that cannot be read.
    pub(super) fn push_unreadable(&mut self, row: Unreadable) {
        let Unreadable { table, id, column } = &row;
        tracing::warn!(table, id, column, "a row is kept from devices: a value in it is none of its column's type");
        self.unreadable.insert(row);
    }

    /// How many rows it holds.
    pub(super) fn row_count(&self) -> usize {
        self.rows
    }

    /// The row is not gone after all, and may be here already; false when it was not.
    pub(super) fn keep(&mut self, slot: usize, id: String) -> bool {
        let kept = self.gone.remove(&(slot, id)).is_some();
        if kept {
            let table = &mut self.tables[slot];
            table.repeats = true;
            self.seen.extend(table.keys.drain(..).map(|key| (slot, key)));
        }
        kept
    }

    /// How many are gone.
    pub(super) fn gone_count(&self) -> usize {
        self.gone.len()
    }

    /// Moves what is gone from another page of the same snapshot into this one.
    pub(super) fn append_gone(&mut self, other: &mut Self) {
        self.gone.append(&mut other.gone);
        self.unreadable.append(&mut other.unreadable);
    }

    /// The rows as lines, one for each table that has some.
    pub(super) fn lines(&mut self) -> Vec<Vec<u8>> {
        let tables = self.tables.iter_mut().filter(|table| !table.json.is_empty());
        tables.map(|table| line(table.name, &std::mem::take(&mut table.json))).collect()
    }

    /// The same, where the first of all lines says how many rows are to come.
    pub(super) fn first_lines(&mut self, total: &mut Option<u64>) -> Vec<Vec<u8>> {
        let mut lines = self.lines();
        if let Some(first) = lines.first_mut().filter(|first| first.ends_with(b"}\n"))
            && let Some(total) = total.take()
        {
            first.truncate(first.len() - 2);
            first.extend_from_slice(format!(",\"total\":{total}}}\n").as_bytes());
        }
        lines
    }

    /// The response body.
    pub(super) fn finish(self, trailer: Trailer) -> Vec<u8> {
        let rows: usize = self.tables.iter().map(|table| table.json.len()).sum();
        let mut body = Vec::with_capacity(rows + 1024);
        body.extend_from_slice(b"{\"changed\":[");
        for (index, table) in self.tables.iter().filter(|table| !table.json.is_empty()).enumerate() {
            if index > 0 {
                body.push(b',');
            }
            batch(&mut body, table.name, &table.json);
        }
        body.extend_from_slice(b"],");
        let start = body.len();
        self.finish_into(&mut body, trailer);
        // The rest is an object too: its opening brace goes, its members follow ours.
        body.remove(start);
        body
    }

    /// The last line: all but the rows.
    pub(super) fn last_line(self, trailer: Trailer) -> Vec<u8> {
        let mut line = Vec::with_capacity(1024);
        self.finish_into(&mut line, trailer);
        line.push(b'\n');
        line
    }

    fn finish_into(mut self, body: &mut Vec<u8>, mut trailer: Trailer) {
        if trailer.lists_unreadable {
            trailer.unreadable = std::mem::take(&mut self.unreadable);
        }
        let (mut tombstoned, mut removed) = (Vec::new(), Vec::new());
        for ((slot, id), (deleted, key)) in self.gone {
            let gone = Gone { table: self.tables[slot].name.to_owned(), id, key };
            if deleted { tombstoned.push(gone) } else { removed.push(gone) }
        }
        write(body, TrailerWithGone { tombstoned, removed, trailer });
    }
}

/// All of a page but its rows.
#[derive(Serialize)]
struct TrailerWithGone {
    tombstoned: Vec<Gone>,
    removed: Vec<Gone>,
    #[serde(flatten)]
    trailer: Trailer,
}

/// Of each table, whether a row may come twice: it is in one bucket of a rule, so where rules name its table more than once.
pub(super) fn repeats(tables: &[&'static TableDesc], rules: &[Rule]) -> Vec<bool> {
    let shown =
        |name: &str| rules.iter().flat_map(|rule| &rule.tables).filter(|synced| synced.table.name == name).count();
    tables.iter().map(|table| shown(table.name) > 1).collect()
}

/// A table's rows as a line.
fn line(table: &str, rows: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(rows.len() + table.len() + 64);
    head(&mut line, table);
    line.extend_from_slice(rows);
    end_line(&mut line);
    line
}

/// A table's rows as an object.
fn batch(body: &mut Vec<u8>, table: &str, rows: &[u8]) {
    head(body, table);
    body.extend_from_slice(rows);
    body.extend_from_slice(TAIL);
}

/// The beginnings of lines, by slot.
pub(super) fn heads(tables: &[&'static TableDesc]) -> Vec<Vec<u8>> {
    let head = |table: &&'static TableDesc| {
        let mut text = Vec::new();
        head(&mut text, table.name);
        text
    };
    tables.iter().map(head).collect()
}

/// Writes the beginning of a table's rows.
fn head(body: &mut Vec<u8>, table: &str) {
    body.extend_from_slice(b"{\"table\":");
    write(body, table);
    body.extend_from_slice(b",\"rows\":[");
}

/// The end of a table's rows.
const TAIL: &[u8] = b"]}";

/// Ends a line that began with [`head`].
pub(super) fn end_line(line: &mut Vec<u8>) {
    line.extend_from_slice(TAIL);
    line.push(b'\n');
}

fn write(body: &mut Vec<u8>, value: impl Serialize) {
    // Writing texts and numbers to a Vec cannot fail.
    let _ = serde_json::to_writer(body, &value);
}
