//! What a device must hold, by plain SQL written independently of the engine.

use nizhal_tests::{App, Device};
use serde_json::Value;
use std::collections::BTreeMap;

type Rows = BTreeMap<(String, String), Vec<Option<String>>>;

const TABLES: [(&str, &[&str]); 3] = [
    ("customers", &["id", "shop_id", "name", "phone", "note", "client_id"]),
    ("ledger_entries", &["id", "shop_id", "customer_id", "amount", "reason", "ref", "created_by", "client_id"]),
    ("reminders", &["id", "shop_id", "customer_id", "entry_id", "channel", "status"]),
];

/// All rows of all shops of this user.
async fn expected(app: &App, user: &str) -> Rows {
    let mut db = app.sql().await;
    let mut rows = Rows::new();
    for (table, columns) in TABLES {
        let list: Vec<String> = columns.iter().map(|column| format!("cast(t.{column} as text)")).collect();
        let sql = format!(
            "select {} from {table} t join shop_members m on m.shop_id = t.shop_id where m.user_id = '{user}'",
            list.join(", ")
        );
        for row in db.rows(&sql).await {
            rows.insert((table.to_owned(), row[0].clone().expect("an id")), row);
        }
    }
    rows
}

fn held(device: &Device) -> Rows {
    let columns = |table: &str| TABLES.iter().find(|(name, _)| *name == table).expect("a synced table").1;
    let text = |value: &Value| match value {
        Value::Null => None,
        value => Some(value.as_str().expect("these columns are text on the wire").to_owned()),
    };
    let row = |(key, row): (&(String, String), &Value)| {
        (key.clone(), columns(&key.0).iter().map(|&column| text(&row[column])).collect())
    };
    device.rows.iter().map(row).collect()
}

/// The device holds exactly what the user's shops hold.
pub(crate) async fn assert_converged(app: &App, device: &Device, user: &str) {
    let (expected, held) = (expected(app, user).await, held(device));
    let missing: Vec<_> = expected.iter().filter(|(key, row)| held.get(*key) != Some(*row)).collect();
    let surplus: Vec<_> = held.keys().filter(|key| !expected.contains_key(*key)).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "device {} of {user}: missing or stale {missing:?}, surplus {surplus:?}",
        device.id
    );
}
