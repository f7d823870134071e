//! Devices of the ledger's users, and what most tests begin with.

use credit_ledger::claims::Claims;
use credit_ledger::mutator::{AddCustomer, RecordCredit, add_customer, record_credit};
use credit_ledger::table::{Customer, CustomerColumn, LedgerEntry, LedgerEntryColumn};
use credit_ledger::{mutators, rule::ledger_rules, tables};
use nizhal::client::{Client, Phase, Setup, Status};
use nizhal::prelude::*;
use nizhal_tests::{App, Connection, token, within};

pub(crate) fn claims(user: &str) -> Claims {
    Claims { user_id: user.to_owned(), owner_id: "o1".to_owned(), shop_id: Some("s1".to_owned()) }
}

/// A device of this user, with nothing said of where and how.
pub(crate) fn setup(user: &str) -> Setup {
    let quick = |settings: &mut nizhal::client::Settings| {
        (settings.first_wait_ms, settings.longest_wait_ms) = (10, 200);
    };
    let claims = claims(user);
    Client::setup(claims).tables(tables()).mutators(mutators()).rules(ledger_rules()).settings(quick)
}

pub(crate) fn bearer(user: &str) -> String {
    token::signed(&token::claims(user, Some("s1")))
}

/// A device in memory that syncs with the app's server.
pub(crate) async fn device(app: &App, user: &str) -> Client {
    Box::pin(setup(user).server(app.address.at(""), bearer(user)).open()).await.expect("the device opens")
}

/// Shop `s1` with ana and ben.
pub(crate) async fn shop(app: &App) -> Connection {
    let mut db = app.sql().await;
    db.execute("insert into shops (id, name, owner_id) values ('s1', 's1', 'o1')").await;
    db.execute(
        "insert into shop_members (shop_id, user_id, role) values ('s1', 'ana', 'owner'), ('s1', 'ben', 'staff')",
    )
    .await;
    db
}

pub(crate) async fn add(device: &Client, id: &str) {
    let args = AddCustomer { client_id: text(id), name: text(&format!("Name of {id}")), phone: None, note: None };
    device.mutate::<add_customer>(args).await.expect("the customer is added");
}

pub(crate) fn credit(id: &str, customer: &str, amount: i64) -> RecordCredit {
    let amount = serde_json::from_value(amount.into()).expect("an amount above zero");
    RecordCredit {
        client_id: text(id),
        customer_id: customer.to_owned(),
        amount,
        reason: None,
        r#ref: None,
        at: None,
        due_date: None,
    }
}

pub(crate) async fn lend(device: &Client, id: &str, customer: &str, amount: i64) {
    device.mutate::<record_credit>(credit(id, customer, amount)).await.expect("the credit is written down");
}

pub(crate) fn text(text: &str) -> NonEmpty {
    serde_json::from_value(text.into()).expect("a text with something in it")
}

pub(crate) async fn names(device: &Client) -> Vec<String> {
    let rows = Customer::find().order_by_asc(CustomerColumn::Id).all(device.db()).await.expect("customers are read");
    rows.into_iter().map(|customer| customer.name).collect()
}

pub(crate) async fn entries(device: &Client) -> Vec<(String, String)> {
    let rows =
        LedgerEntry::find().order_by_asc(LedgerEntryColumn::Id).all(device.db()).await.expect("entries are read");
    rows.into_iter().map(|entry| (entry.id, entry.amount.to_string())).collect()
}

/// Waits until nothing waits and the server has nothing new.
pub(crate) async fn settled(device: &Client) {
    reached(device, "all to be synced", |status| status.pending == 0 && status.phase == Phase::Live).await;
}

/// Waits until the device's status is as wanted.
pub(crate) async fn reached(device: &Client, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
    let now = || format!("{:?}", *device.status().borrow());
    within(what, device.until(wanted), now).await.expect("the client was not closed")
}
