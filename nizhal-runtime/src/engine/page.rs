//! A pull's answer while it grows: rows by table, what is gone, and the JSON of it all.

use crate::store::{Body, Change};
use nizhal_core::{TableDesc, wire::Gone};
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};

/// One answer in the making.
pub(super) struct Page {
    tables: Vec<Rows>,
    /// Rows already here: one may be in two buckets.
    seen: HashSet<(usize, Vec<String>)>,
    /// By table and id: deleted or not, and the client's key.
    gone: BTreeMap<(usize, String), (bool, Option<String>)>,
    lost: Vec<String>,
}

struct Rows {
    name: &'static str,
    /// The rows' objects with commas between.
    json: Vec<u8>,
}

impl Page {
    pub(super) fn new(tables: &[&'static TableDesc], lost: Vec<String>) -> Self {
        let tables = tables.iter().map(|table| Rows { name: table.name, json: Vec::new() }).collect();
        Self { tables, seen: HashSet::new(), gone: BTreeMap::new(), lost }
    }

    /// Takes in a change; a row that is here already is passed over.
    pub(super) fn take(&mut self, change: Change) {
        let count = self.tables.len();
        match change.body {
            Body::Row(row) => {
                if self.seen.insert((change.slot, change.key)) {
                    let json = &mut self.tables[change.slot].json;
                    if !json.is_empty() {
                        json.push(b',');
                    }
                    json.extend_from_slice(&row);
                }
            }
            Body::Gone { deleted, client_key } => {
                let id = change.key.into_iter().next().unwrap_or_default();
                let entry = self.gone.entry((change.slot - count, id)).or_default();
                // One bucket may have seen it move and another deleted: deleted says more.
                *entry = (entry.0 || deleted, client_key.or_else(|| entry.1.take()));
            }
        }
    }

    /// The ids that are gone, by table.
    pub(super) fn gone(&self) -> BTreeMap<usize, Vec<String>> {
        let mut by_table: BTreeMap<usize, Vec<String>> = BTreeMap::new();
        for (slot, id) in self.gone.keys() {
            by_table.entry(*slot).or_default().push(id.clone());
        }
        by_table
    }

    /// The row is not gone after all.
    pub(super) fn keep(&mut self, slot: usize, id: &str) {
        self.gone.remove(&(slot, id.to_owned()));
    }

    /// The response body.
    pub(super) fn finish(
        self,
        cursor: &str,
        epoch: &str,
        reset: bool,
        has_more: bool,
        last_mutation_id: Option<i64>,
    ) -> Vec<u8> {
        let rows: usize = self.tables.iter().map(|table| table.json.len()).sum();
        let mut body = Vec::with_capacity(rows + 1024);
        body.extend_from_slice(b"{\"changed\":[");
        for (at, table) in self.tables.iter().filter(|table| !table.json.is_empty()).enumerate() {
            if at > 0 {
                body.push(b',');
            }
            body.extend_from_slice(b"{\"table\":");
            write(&mut body, table.name);
            body.extend_from_slice(b",\"rows\":[");
            body.extend_from_slice(&table.json);
            body.extend_from_slice(b"]}");
        }
        let (mut tombstoned, mut removed) = (Vec::new(), Vec::new());
        for ((slot, id), (deleted, key)) in self.gone {
            let gone = Gone { table: self.tables[slot].name.to_owned(), id, key };
            if deleted { tombstoned.push(gone) } else { removed.push(gone) }
        }
        let rest = Rest {
            tombstoned,
            removed,
            removed_buckets: self.lost,
            cursor,
            epoch,
            cursor_reset: reset,
            has_more,
            last_mutation_id,
        };
        body.extend_from_slice(b"],");
        let start = body.len();
        write(&mut body, &rest);
        // The rest is an object too: its opening brace goes, its members follow ours.
        body.remove(start);
        body
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Rest<'a> {
    tombstoned: Vec<Gone>,
    removed: Vec<Gone>,
    removed_buckets: Vec<String>,
    cursor: &'a str,
    epoch: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cursor_reset: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_mutation_id: Option<i64>,
}

fn write(body: &mut Vec<u8>, value: impl Serialize) {
    // Writing texts and numbers to a Vec cannot fail.
    let _ = serde_json::to_writer(body, &value);
}
