//! A wire-1 device written from the protocol's text: a map of rows, and what each answer does to it.

use super::{app::Variant, plain::Row};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Rows by table and key as text.
#[derive(Default)]
pub(super) struct Device {
    rows: BTreeMap<(String, String), Vec<String>>,
    cursor: String,
}

/// The columns that the oracle compares, keys first.
fn columns(table: &str) -> &'static [&'static str] {
    match table {
        "items" => &["id", "shop_id", "channel", "owner", "hidden"],
        _ => &["shop_id", "n", "owner", "state"],
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn rows(page: &Value) -> impl Iterator<Item = (&str, Vec<String>)> {
    page["changed"].as_array().into_iter().flatten().flat_map(|table| {
        let name = table["table"].as_str().expect("a table's name");
        let rows = table["rows"].as_array().into_iter().flatten();
        rows.map(move |row| (name, columns(name).iter().map(|column| text(&row[column])).collect()))
    })
}

/// The page's rows as the oracle compares them.
pub(super) fn changed(page: &Value) -> Vec<Row> {
    rows(page).map(|(table, row)| (table.to_owned(), row)).collect()
}

/// The key as tombstones name it.
pub(super) fn key(table: &str, row: &[String]) -> String {
    if table == "items" { row[0].clone() } else { serde_json::json!([row[0], row[1]]).to_string() }
}

/// The rows that the page says are gone, by table and key.
pub(super) fn gone(page: &Value) -> Vec<(String, String)> {
    let lists = ["tombstoned", "removed"].iter().flat_map(|list| page[*list].as_array().into_iter().flatten());
    lists
        .map(|gone| {
            let (table, id) = (text(&gone["table"]), text(&gone["id"]));
            if let Some(client) = gone["key"].as_str() {
                assert_eq!(client, format!("k-{id}"), "a key that is not the row's client_id");
            }
            (table, id)
        })
        .collect()
}

/// The names of the buckets that could have given this row, as the contract's rules tell.
fn names(variant: Variant, table: &str, row: &[String]) -> Vec<String> {
    let encode = |part: &str| part.replace('/', "%2F");
    let own = || format!("{}/{}", encode(&row[0]), encode(&row[2]));
    match (variant, table) {
        (Variant::Overlapping, "items") => vec![row[1].clone(), row[2].clone()],
        (Variant::Single, "items") => vec![row[1].clone()],
        (Variant::Disjoint, "items") => vec![row[2].clone()],
        (Variant::Overlapping, _) => vec![row[0].clone(), own()],
        _ => vec![row[0].clone()],
    }
}

impl Device {
    pub(super) fn cursor(&self) -> &str {
        &self.cursor
    }

    pub(super) fn rows(&self) -> BTreeSet<Row> {
        self.rows.iter().map(|((table, _), row)| (table.clone(), row.clone())).collect()
    }

    /// Takes in an answer; true when there is more.
    pub(super) fn apply(&mut self, variant: Variant, page: &Value) -> bool {
        if page["cursorReset"] == true {
            self.rows.clear();
        }
        let lost: Vec<String> = page["removedBuckets"].as_array().into_iter().flatten().map(text).collect();
        self.rows.retain(|(table, _), row| names(variant, table, row).iter().all(|name| !lost.contains(name)));
        for gone in gone(page) {
            self.rows.remove(&gone);
        }
        let mut seen = BTreeSet::new();
        for (table, row) in rows(page) {
            let key = (table.to_owned(), key(table, &row));
            assert!(seen.insert(key.clone()), "a row came twice in one answer: {key:?}");
            self.rows.insert(key, row);
        }
        self.cursor = text(&page["cursor"]);
        page["hasMore"] == true
    }
}
