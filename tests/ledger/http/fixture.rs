//! What most tests begin with, and the binary under test.

use nizhal_tests::{App, Connection, Device, Kind, Reply, until};
use serde_json::{Value, json};

/// The app's binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_credit-ledger");

/// Makes a shop with these members.
pub(crate) async fn shop(db: &mut Connection, id: &str, members: &[&str]) {
    let literal = quoted(id);
    db.execute(&format!("insert into shops (id, name, owner_id) values ({literal}, {literal}, 'o1')")).await;
    for user in members {
        join(db, id, user).await;
    }
}

/// Waits until no transaction holds the horizon back, so that one pull brings all that is committed.
///
/// Where a server was killed, its sessions end a moment later, and Postgres gives back what others wait for first: the rows that a
/// transaction locked are free while its advisory lock, which holds the horizon back, is not. So a device's next push may be answered
/// before that, and its pull stops below the rows that were just acknowledged until the session has ended (invariant 30).
pub(crate) async fn until_nobody_holds_the_horizon(app: &App) {
    if app.database.kind() == Kind::Postgres {
        let mut db = app.sql().await;
        let whole = "select (clock = horizon)::text from _nizhal_horizon()";
        until("no transaction holds the horizon back", async || db.text(whole).await == "true").await;
    }
}

/// Makes a user a member.
pub(crate) async fn join(db: &mut Connection, shop: &str, user: &str) {
    let (shop, user) = (quoted(shop), quoted(user));
    db.execute(&format!("insert into shop_members (shop_id, user_id, role) values ({shop}, {user}, 'staff')")).await;
}

/// A text literal of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Ends a membership.
pub(crate) async fn leave(db: &mut Connection, shop: &str, user: &str) {
    let gone = db.execute(&format!("delete from shop_members where shop_id = '{shop}' and user_id = '{user}'")).await;
    assert_eq!(gone, 1);
}

/// Shop `s1` with ana and ben, shop `s2` with cem.
pub(crate) async fn two_shops(app: &App) -> Connection {
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ana", "ben"]).await;
    shop(&mut db, "s2", &["cem"]).await;
    db
}

/// Writes customers by plain SQL, all in one transaction: `prefix1` to `prefix<count>`.
pub(crate) async fn customers(db: &mut Connection, shop: &str, prefix: &str, count: usize) {
    let numbers = format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})");
    // SQLite takes the `with` only before `insert`, Postgres takes it there too.
    let written = db
        .execute(&format!(
            "{numbers} insert into customers (id, shop_id, name) select '{prefix}' || i, '{shop}', 'Name ' || i from n"
        ))
        .await;
    assert_eq!(written, count as u64);
}

/// Adds a customer through the device.
pub(crate) async fn add(device: &mut Device, id: &str) -> Reply {
    device.mutate("addCustomer", &json!({"clientId": id, "name": format!("Name of {id}")})).await.expect(200)
}

/// Writes down credit through the device.
pub(crate) async fn credit(device: &mut Device, id: &str, customer: &str, amount: &str) -> Reply {
    device.mutate("recordCredit", &json!({"clientId": id, "customerId": customer, "amount": amount})).await.expect(200)
}

/// A mutation without a place in a sequence.
pub(crate) fn loose(name: &str, id: &str, args: &Value) -> Value {
    json!({"name": name, "args": args, "clientMutationId": id})
}
