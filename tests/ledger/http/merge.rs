//! Invariants 9 and 20 where columns merge by stamps: customers are `merge = "field"`.

use crate::fixture::{add, two_shops};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Connection, Device, Kind, Reply, both};
use serde_json::{Value, json};

both![
    columns_written_offline_merge_by_their_stamps,
    a_late_write_moves_nothing_and_tells_nobody_elsewhere,
    many_rows_at_once_keep_what_is_newer,
    inv09_a_late_insert_does_not_undo_a_delete,
    inv09_a_late_write_does_not_undo_a_soft_delete,
    inv20_a_clock_years_ahead_wins_no_merge_and_stops_nobody,
    writers_without_a_stamp_are_never_late,
    inv20_a_row_that_sql_made_yields_to_a_device_whose_clock_is_slow,
    inv20_a_node_of_sixteen_digits_merges_as_any_other,
    a_device_hears_that_its_write_lost,
    inv20_what_a_clock_that_was_ahead_stamped_stops_nobody,
];

/// A stamp of the day, `minutes` after noon.
fn stamp(minutes: u32) -> String {
    format!("2026-01-05T12:{minutes:02}:00.000Z-0000-000000000000000000000000000000aa")
}

async fn at(device: &mut Device, minutes: u32, name: &str, args: Value) {
    stamped(device, &stamp(minutes), name, args).await;
}

async fn stamped(device: &mut Device, stamp: &str, name: &str, args: Value) {
    let mut mutation = device.mutation(name, &args);
    mutation["hlc"] = stamp.into();
    device.push(&[mutation]).await.expect(200);
}

fn name(value: &str) -> Value {
    json!({"customerId": "c1", "value": value})
}

async fn kept(db: &mut Connection) -> Vec<Option<String>> {
    let sql = "select name, phone, shop_id, case when deleted_at is null then 'there' else 'gone' end from customers where id = 'c1'";
    db.rows(sql).await.swap_remove(0)
}

fn texts(texts: [&str; 4]) -> Vec<Option<String>> {
    texts.map(|text| Some(text.to_owned())).to_vec()
}

async fn columns_written_offline_merge_by_their_stamps(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    at(&mut ana, 0, "addCustomer", json!({"clientId": "c1", "name": "Old", "phone": "0"})).await;
    at(&mut ana, 20, "updateCustomerName", name("Ana's")).await;
    // Ben wrote both in between, and was offline.
    at(&mut ben, 10, "updateCustomerName", name("Ben's")).await;
    at(&mut ben, 10, "updateCustomerPhone", name("1")).await;
    assert_eq!(kept(&mut db).await, texts(["Ana's", "1", "s1", "there"]));
    at(&mut ana, 5, "updateCustomerPhone", name("2")).await;
    at(&mut ben, 20, "updateCustomerName", name("At the same time, said later")).await;
    at(&mut ben, 21, "updateCustomerName", name("Newer")).await;
    assert_eq!(kept(&mut db).await, texts(["Newer", "1", "s1", "there"]));
    for device in [&mut ana, &mut ben] {
        device.pull().await;
        assert!(device.row("customers", "c1").expect("there").get("_meta").is_none(), "stamps stay on the server");
    }
    assert_converged(&app, &ana, "ana").await;
    assert_converged(&app, &ben, "ben").await;
}

/// Runs statements in a transaction of a mutation with this stamp, as a mutator's raw SQL would.
async fn with_stamp(app: &App, db: &mut Connection, minutes: u32, statement: &str) {
    with_text(app, db, &stamp(minutes), statement).await;
}

async fn with_text(app: &App, db: &mut Connection, stamp: &str, statement: &str) {
    let (before, after) = match app.database.kind() {
        Kind::Postgres => (format!("select set_config('nizhal.hlc', '{stamp}', true)"), String::new()),
        Kind::Sqlite => (
            format!("update _nizhal_control set clock = clock + 1, txn = clock + 1, hlc = '{stamp}'"),
            "; update _nizhal_control set txn = null, hlc = null".to_owned(),
        ),
    };
    db.execute(&format!("begin; {before}; {statement}{after}; commit")).await;
}

async fn a_late_write_moves_nothing_and_tells_nobody_elsewhere(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    at(&mut ana, 10, "addCustomer", json!({"clientId": "c1", "name": "Stays", "phone": "0"})).await;
    ana.pull().await;
    cem.pull().await;
    with_stamp(&app, &mut db, 5, "update customers set shop_id = 's2', phone = '9'").await;
    assert_eq!(kept(&mut db).await, texts(["Stays", "0", "s1", "there"]));
    assert_eq!(db.count("_nizhal_tombstones").await, 0);
    let page = cem.page(None).await;
    assert!(page.changed.is_empty() && page.removed.is_empty() && page.tombstoned.is_empty(), "{}", page.body);
    let page = ana.page(None).await;
    assert_eq!((page.changed.len(), page.removed.len()), (1, 0), "the truth comes again: {}", page.body);
    // A move that is not late is one.
    with_stamp(&app, &mut db, 15, "update customers set shop_id = 's2'").await;
    ana.pull().await;
    cem.pull().await;
    assert_eq!((ana.ids("customers").len(), cem.ids("customers")), (0, vec!["c1"]));
}

/// The time of the database, as a stamp.
async fn stamp_of_now(app: &App, db: &mut Connection) -> String {
    let now = match app.database.kind() {
        Kind::Postgres => "to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')",
        Kind::Sqlite => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    };
    format!("{}-0000-000000000000000000000000000000aa", db.text(&format!("select {now}")).await)
}

async fn inv20_what_a_clock_that_was_ahead_stamped_stops_nobody(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    at(&mut ana, 0, "addCustomer", json!({"clientId": "c1", "name": "Old", "phone": "0"})).await;
    // Stamped by a server whose clock was years ahead for a moment.
    let ahead = "2099-01-05T12:00:00.000Z-0000-000000000000000000000000000000bb";
    with_text(&app, &mut db, ahead, "update customers set name = 'Ahead', phone = '1'").await;
    assert_eq!(kept(&mut db).await, texts(["Ahead", "1", "s1", "there"]));
    // What was made long before is late, as it was.
    at(&mut ana, 5, "updateCustomerPhone", name("2")).await;
    let now = stamp_of_now(&app, &mut db).await;
    stamped(&mut ana, &now, "updateCustomerName", name("Now")).await;
    assert_eq!(kept(&mut db).await, texts(["Now", "1", "s1", "there"]));
    // A writer without a stamp leaves one of the database's time, and none of that year.
    db.execute("update customers set phone = '3'").await;
    assert_eq!(db.count("customers where cast(_meta as text) like '%2099%'").await, 0);
    with_text(&app, &mut db, ahead, "delete from customers").await;
    let now = stamp_of_now(&app, &mut db).await;
    stamped(&mut ana, &now, "addCustomer", json!({"clientId": "c1", "name": "Again", "phone": "4"})).await;
    assert_eq!(kept(&mut db).await, texts(["Again", "4", "s1", "there"]));
    db.execute("delete from customers").await;
    assert_eq!(db.count("_nizhal_deletes where stamp like '2099%'").await, 0);
    ana.pull().await;
    assert_converged(&app, &ana, "ana").await;
}

async fn many_rows_at_once_keep_what_is_newer(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    for (id, minutes) in [("c1", 1), ("c2", 2), ("c3", 3)] {
        at(&mut ana, minutes, "addCustomer", json!({"clientId": id, "name": "was", "phone": "0"})).await;
    }
    at(&mut ana, 30, "updateCustomerName", json!({"customerId": "c2", "value": "newest"})).await;
    with_stamp(&app, &mut db, 2, "update customers set name = 'all', phone = '7' where shop_id = 's1'").await;
    let rows = db.rows("select id, name, phone from customers order by id").await;
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows, [["c1", "all", "7"], ["c2", "newest", "7"], ["c3", "was", "0"]]);
    // A row written twice in one transaction, late and not.
    let twice = "update customers set name = 'one' where id = 'c1'; update customers set name = 'two', phone = '8' where id <> 'c3'";
    with_stamp(&app, &mut db, 10, twice).await;
    let rows = db.rows("select name, phone from customers order by id").await;
    let rows: Vec<Vec<String>> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
    assert_eq!(rows, [["two", "8"], ["newest", "8"], ["was", "0"]]);
    assert_eq!(db.count("customers where _nizhal_version <= 0").await, 0);
    let upsert = "insert into customers (id, shop_id, name) values ('c2', 's1', 'late') \
        on conflict (id) do update set name = excluded.name, phone = null";
    with_stamp(&app, &mut db, 20, upsert).await;
    let rows = db.rows("select name, coalesce(phone, 'none') from customers where id = 'c2'").await;
    assert_eq!(rows, [[Some("newest".to_owned()), Some("none".to_owned())]]);
    ana.pull().await;
    assert_converged(&app, &ana, "ana").await;
}

async fn inv09_a_late_insert_does_not_undo_a_delete(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    at(&mut ana, 0, "addCustomer", json!({"clientId": "c1", "name": "First"})).await;
    at(&mut ana, 20, "deleteCustomer", json!({"customerId": "c1"})).await;
    ana.pull().await;
    at(&mut ben, 10, "addCustomer", json!({"clientId": "c1", "name": "Late"})).await;
    assert_eq!(db.rows("select name, deleted_at is null from customers").await.len(), 1);
    for device in [&mut ana, &mut ben] {
        device.pull().await;
        assert!(device.rows.is_empty(), "{:?}", device.rows);
    }
    // A write of the same time as the late insert does not bring it back; one that is newer than the delete may.
    with_stamp(&app, &mut db, 11, "update customers set deleted_at = null where id = 'c1'").await;
    ana.pull().await;
    assert!(ana.rows.is_empty());
    with_stamp(&app, &mut db, 30, "update customers set deleted_at = null where id = 'c1'").await;
    ana.pull().await;
    assert_eq!(ana.ids("customers"), ["c1"]);
    // An insert that is newer than a delete is simply an insert.
    with_stamp(&app, &mut db, 40, "delete from customers where id = 'c1'").await;
    with_stamp(&app, &mut db, 41, "insert into customers (id, shop_id, name) values ('c1', 's1', 'Again')").await;
    for device in [&mut ana, &mut ben] {
        device.pull().await;
        assert_eq!(device.ids("customers"), ["c1"]);
    }
}

async fn inv09_a_late_write_does_not_undo_a_soft_delete(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    at(&mut ana, 0, "addCustomer", json!({"clientId": "c1", "name": "First", "phone": "0"})).await;
    with_stamp(&app, &mut db, 20, "update customers set deleted_at = '2026-01-05T12:20:00+00:00'").await;
    at(&mut ana, 25, "updateCustomerPhone", name("1")).await;
    with_stamp(&app, &mut db, 10, "update customers set deleted_at = null, name = 'Late but its own column'").await;
    assert_eq!(kept(&mut db).await, texts(["Late but its own column", "1", "s1", "gone"]));
    ana.pull().await;
    assert!(ana.rows.is_empty());
}

async fn inv20_a_clock_years_ahead_wins_no_merge_and_stops_nobody(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    add(&mut ana, "c1").await;
    let wild = "2999-01-01T00:00:00.000Z-ffff-ffffffffffffffffffffffffffffffff";
    stamped(&mut ana, wild, "updateCustomerName", name("From the future")).await;
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("From the future"), "its owner writes on");
    // Whoever writes next wins: with a stamp of now, and without one.
    stamped(&mut ben, &ahead(), "updateCustomerName", name("Ben's")).await;
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("Ben's"));
    let stamps = db.text("select cast(_meta as text) from customers where id = 'c1'").await;
    assert!(!stamps.contains("2999"), "{stamps}");
    ben.mutate("updateCustomerName", &name("Without")).await.expect(200);
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("Without"));
}

/// A stamp thirty seconds ahead of this machine's clock: within what a server takes as it is.
fn ahead() -> String {
    let time = nizhal::DateTimeUtc::from(std::time::SystemTime::now() + std::time::Duration::from_secs(30));
    format!("{}-0000-000000000000000000000000000000bb", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

async fn writers_without_a_stamp_are_never_late(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    // Ahead of the server's clock, within what is allowed.
    stamped(&mut ana, &ahead(), "updateCustomerName", name("Ahead")).await;
    db.execute("update customers set name = 'By hand' where id = 'c1'").await;
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("By hand"));
    ana.mutate("updateCustomerName", &name("No stamp")).await.expect(200);
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("No stamp"));
    // What was written without a stamp is not older than what it replaced.
    let mut late = ahead();
    late.replace_range(..4, "2020");
    stamped(&mut ana, &late, "updateCustomerName", name("Late")).await;
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("No stamp"));
}

async fn inv20_a_row_that_sql_made_yields_to_a_device_whose_clock_is_slow(app: App) {
    let mut db = two_shops(&app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    db.execute("insert into customers (id, shop_id, name, phone) values ('c1', 's1', 'Seeded', '0')").await;
    db.execute("update customers set phone = '1' where id = 'c1'").await;
    // An hour behind, and then some.
    at(&mut ana, 20, "updateCustomerName", name("Ana's")).await;
    at(&mut ana, 20, "updateCustomerPhone", name("2")).await;
    assert_eq!(kept(&mut db).await, texts(["Ana's", "2", "s1", "there"]));
    // From then on it is a device's, and later is later.
    at(&mut ben, 10, "updateCustomerName", name("Ben's")).await;
    assert_eq!(kept(&mut db).await, texts(["Ana's", "2", "s1", "there"]));
    db.execute("update customers set name = 'By hand' where id = 'c1'").await;
    at(&mut ben, 30, "updateCustomerName", name("Late")).await;
    assert_eq!(kept(&mut db).await, texts(["By hand", "2", "s1", "there"]));
    // As a database of before has it.
    let meta = r#"{"*": "2999-01-01T00:00:00.000Z-0000-00000000000000000000000000000000"}"#;
    db.execute(&format!("update customers set _meta = '{meta}'")).await;
    at(&mut ben, 31, "updateCustomerPhone", name("3")).await;
    assert_eq!(kept(&mut db).await[1].as_deref(), Some("3"));
    ana.pull().await;
    assert_converged(&app, &ana, "ana").await;
}

async fn inv20_a_node_of_sixteen_digits_merges_as_any_other(app: App) {
    let mut db = two_shops(&app).await;
    let mut ana = app.device("a", "ana", "s1");
    let short = |minutes: u32| stamp(minutes).replace("-0000000000000000", "-");
    assert_eq!(short(0).len(), 46);
    stamped(&mut ana, &short(0), "addCustomer", json!({"clientId": "c1", "name": "Old", "phone": "0"})).await;
    stamped(&mut ana, &short(20), "updateCustomerName", name("Newer")).await;
    stamped(&mut ana, &short(10), "updateCustomerName", name("Late")).await;
    assert_eq!(kept(&mut db).await[0].as_deref(), Some("Newer"));
}

async fn a_device_hears_that_its_write_lost(app: App) {
    two_shops(&app).await;
    let (mut ana, ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    at(&mut ana, 0, "addCustomer", json!({"clientId": "c1", "name": "Old", "phone": "0"})).await;
    at(&mut ana, 20, "updateCustomerName", name("Ana's")).await;
    let late = |number: u32, call: &str| {
        json!({"name": call, "args": name("Ben's"), "clientMutationId": format!("b{number}"), "clientID": "b",
            "mutationID": number, "hlc": stamp(10)})
    };
    let lost = json!([{"table": "customers", "id": "c1", "column": "name"}]);
    // Alone, in a batch, and asked again.
    let alone = [late(1, "updateCustomerName")];
    let batch = [late(2, "updateCustomerPhone"), late(3, "updateCustomerName")];
    for status in ["applied", "duplicate"] {
        let results = in_wire_two(&app, &ben, &alone).await;
        assert_eq!((&results[0]["status"], &results[0]["lost"]), (&json!(status), &lost));
        let results = in_wire_two(&app, &ben, &batch).await;
        assert_eq!((&results[0]["status"], results[0].get("lost")), (&json!(status), None));
        assert_eq!((&results[1]["status"], &results[1]["lost"]), (&json!(status), &lost));
    }
}

/// The results of a push in wire 2.
async fn in_wire_two(app: &App, device: &Device, mutations: &[Value]) -> Vec<Value> {
    let request =
        app.request(reqwest::Method::POST, "/sync/push").bearer_auth(&device.token).header("x-nizhal-wire", "2");
    let body = json!({"mutations": mutations}).to_string();
    let reply = Reply::of(request.header("content-type", "application/json").body(body)).await.expect(200);
    reply.json()["results"].as_array().expect("results").clone()
}
