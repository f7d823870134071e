//! Invariant 10: a database that was restored or failed over is recognised, and every device starts again.

use crate::fixture::{BINARY, add, credit, customers, two_shops};
use crate::oracle::assert_converged;
use crate::servers::{realtime, restarted};
use nizhal_tests::{App, Cluster, Connection, Database, Device, Durability, Kind, TempDir, on, until};
use serde_json::{Value, json};

on![postgres, Postgres: inv10_a_dump_restored_elsewhere_resets_every_device,
    inv10_a_dump_whose_clock_passed_the_old_cursor_resets_too, inv10_a_dump_restored_beside_its_origin_resets,
    inv10_a_promoted_standby_that_had_less_resets_every_device,
    inv10_a_promoted_standby_whose_clock_passed_the_old_cursor_resets_too,
    inv10_an_outbox_goes_on_after_a_restore, inv31_a_standby_is_unavailable_until_it_is_promoted,
    inv10_a_disk_put_back_resets_whom_it_forgot, inv10_a_disk_put_back_under_a_running_server_resets_too,
    inv10_a_start_is_no_restore, inv10_a_dump_restored_in_its_own_place_resets_every_device,
    inv10_rows_put_back_in_their_own_tables_reset_every_device];

on![sqlite, Sqlite: inv10_a_file_overwritten_while_it_is_open_resets_whom_it_forgot, inv10_a_file_put_back_resets_whom_it_forgot, inv10_a_start_is_no_restore];

/// The same phone as before, its cursor and rows kept, talking to another server.
fn moved(device: &Device, app: &App, user: &str) -> Device {
    let mut moved = app.device(&device.id, user, "s1");
    (moved.cursor, moved.rows) = (device.cursor.clone(), device.rows.clone());
    moved
}

/// Two devices and a history with updates, deletes and rows of two tables; ben's stops here.
pub(crate) async fn history(app: &App) -> (Connection, Device, Device) {
    let mut db = two_shops(app).await;
    customers(&mut db, "s1", "c", 12).await;
    let (mut phone, mut slow) = (app.device("phone", "ana", "s1"), app.device("slow", "ben", "s1"));
    add(&mut phone, "mine").await;
    credit(&mut phone, "e1", "mine", "12.50").await;
    db.execute("update customers set note = 'before' where id in ('c1', 'c2')").await;
    db.execute("delete from customers where id = 'c3'").await;
    phone.pull().await;
    slow.pull().await;
    (db, phone, slow)
}

/// What the copy will not have: rows, a change, a delete and a mutation, all of them pulled by the phone.
pub(crate) async fn lost_future(db: &mut Connection, phone: &mut Device) {
    customers(db, "s1", "lost", 30).await;
    // One transaction, one version; the rest are one each, so that the cursor is well ahead of the copy's clock.
    for number in 0..50 {
        db.execute(&format!("update customers set note = 'lost {number}' where id = 'c1'")).await;
    }
    db.execute("delete from customers where id = 'c4'").await;
    add(phone, "lost too").await;
    phone.pull().await;
    assert!(phone.row("customers", "lost7").is_some() && phone.row("customers", "c4").is_none());
}

/// Enough writes, each a transaction of its own, to bring the clock past the phone's cursor.
async fn overtake(db: &mut Connection, prefix: &str) {
    for number in 0..150 {
        db.execute(&format!("insert into customers (id, shop_id, name) values ('{prefix}{number}', 's1', 'New')"))
            .await;
    }
}

/// The old devices against the copy: reset, then equal to it, now and after everything that comes.
pub(crate) async fn starts_again(app: &App, old: &[(&Device, &str)], epoch: &Value) {
    let mut db = app.sql().await;
    let mut minted = None;
    let mut devices = Vec::new();
    for (device, user) in old {
        let mut device = moved(device, app, user);
        let page = device.page(Some(7)).await;
        assert!(page.reset, "{} was not told to start again: {}", device.id, page.body);
        assert_ne!(page.body["epoch"], *epoch, "{} got the old epoch", device.id);
        assert_eq!(
            *minted.get_or_insert(page.body["epoch"].clone()),
            page.body["epoch"],
            "one epoch, not one a device"
        );
        assert!(device.pull_by(7).await.iter().all(|page| !page.reset), "a reset without end");
        assert_converged(app, &device, user).await;
        devices.push((device, *user));
    }
    overtake(&mut db, "after").await;
    db.execute("delete from customers where id = 'c5'").await;
    for (device, user) in &mut devices {
        assert!(device.pull_by(20).await.iter().all(|page| !page.reset), "a reset without a reason");
        assert_converged(app, device, user).await;
        assert!(device.row("customers", "after149").is_some() && device.row("customers", "c5").is_none());
    }
    add(&mut app.device("new", "ana", "s1"), "written on the copy").await;
    for (device, _) in &mut devices {
        let page = device.page(None).await;
        assert_eq!((page.reset, Some(&page.body["epoch"])), (false, minted.as_ref()));
        assert!(device.row("customers", "written on the copy").is_some());
    }
}

async fn epoch_of(device: &mut Device) -> Value {
    device.page(None).await.body["epoch"].clone()
}

/// A real dump, as text.
fn dump(app: &App) -> String {
    let dump = Cluster::program("pg_dump", &["--dbname", app.database.url()]);
    String::from_utf8(dump).expect("a dump in UTF-8")
}

/// Restores a dump into an empty database.
fn restore(dump: &str, into: &str) {
    let dir = nizhal_tests::TempDir::new("dump");
    let file = dir.path().join("dump.sql").display().to_string();
    std::fs::write(&file, dump).expect("the dump is written");
    Cluster::program("psql", &["--dbname", into, "-v", "ON_ERROR_STOP=1", "--quiet", "--file", &file]);
}

/// The dump as a database of a cluster of its own.
async fn elsewhere(cluster: &Cluster, dump: &str) -> Database {
    Database::within(cluster, "postgres").connect().await.execute("create database restored").await;
    let database = Database::within(cluster, "restored");
    restore(dump, database.url());
    database
}

async fn inv10_a_dump_restored_elsewhere_resets_every_device(app: App) {
    let (mut db, mut phone, slow) = history(&app).await;
    let dump = dump(&app);
    lost_future(&mut db, &mut phone).await;
    let epoch = epoch_of(&mut phone).await;
    let cluster = Cluster::start(Durability::Fast);
    let restored = App::serve(elsewhere(&cluster, &dump).await, BINARY);
    starts_again(&restored, &[(&phone, "ana"), (&slow, "ben")], &epoch).await;
    // The origin goes on as it was.
    assert_eq!(epoch_of(&mut phone).await, epoch);
}

async fn inv10_a_dump_whose_clock_passed_the_old_cursor_resets_too(app: App) {
    let (mut db, mut phone, slow) = history(&app).await;
    let dump = dump(&app);
    lost_future(&mut db, &mut phone).await;
    let epoch = epoch_of(&mut phone).await;
    let cluster = Cluster::start(Durability::Fast);
    let database = elsewhere(&cluster, &dump).await;
    // Before any device comes: now no cursor is ahead, and yet its versions mean other rows.
    overtake(&mut database.connect().await, "new").await;
    let restored = App::serve(database, BINARY);
    // The device that is behind comes first, so that the other's being ahead can have told nothing.
    starts_again(&restored, &[(&slow, "ben"), (&phone, "ana")], &epoch).await;
}

async fn inv10_a_dump_restored_beside_its_origin_resets(app: App) {
    let (mut db, mut phone, slow) = history(&app).await;
    let dump = dump(&app);
    lost_future(&mut db, &mut phone).await;
    let epoch = epoch_of(&mut phone).await;
    // The same cluster, so only the database's number differs.
    let beside = Database::new(Kind::Postgres).await;
    restore(&dump, beside.url());
    overtake(&mut beside.connect().await, "new").await;
    starts_again(&App::serve(beside, BINARY), &[(&slow, "ben"), (&phone, "ana")], &epoch).await;
}

/// What is put back has the clock, the epoch and the place of before, and has gone on past every cursor when the devices come.
async fn inv10_a_dump_restored_in_its_own_place_resets_every_device(mut app: App) {
    for restarts in [false, true] {
        let fresh = Database::new(Kind::Postgres).await;
        let own = std::mem::replace(&mut app, App::on(fresh, BINARY));
        let mut own = own;
        let (mut db, mut phone, slow) = history(&own).await;
        let dump = dump(&own);
        lost_future(&mut db, &mut phone).await;
        let epoch = epoch_of(&mut phone).await;
        if restarts {
            own.server.kill();
        }
        db.execute("drop schema public cascade; create schema public").await;
        restore(&dump, own.database.url());
        overtake(&mut db, "new").await;
        if restarts {
            own.restart();
        }
        starts_again(&own, &[(&slow, "ben"), (&phone, "ana")], &epoch).await;
    }
}

/// The tables stay, and their rows are those of before.
async fn inv10_rows_put_back_in_their_own_tables_reset_every_device(app: App) {
    let (mut db, mut phone, slow) = history(&app).await;
    let rows = Cluster::program("pg_dump", &["--data-only", "--dbname", app.database.url()]);
    lost_future(&mut db, &mut phone).await;
    let epoch = epoch_of(&mut phone).await;
    let tables = "select string_agg(quote_ident(tablename), ', ') from pg_tables where schemaname = 'public'";
    let tables = db.text(tables).await;
    db.execute(&format!("truncate {tables}")).await;
    // Triggers that note what is copied in would leave rows that the dump has too.
    let own = "select string_agg(format('alter table %I disable trigger user', tablename), '; ') from pg_tables \
        where schemaname = 'public' and tablename <> '_nizhal_control'";
    let own = db.text(own).await;
    db.execute(&own).await;
    restore(&String::from_utf8(rows).expect("a dump in UTF-8"), app.database.url());
    db.execute(&own.replace("disable", "enable")).await;
    overtake(&mut db, "new").await;
    starts_again(&app, &[(&slow, "ben"), (&phone, "ana")], &epoch).await;
}

/// A cluster, an app on it, and a standby that has all of the history and then hears no more.
struct Pair {
    app: App,
    phone: Device,
    slow: Device,
    epoch: Value,
    /// In the order they may go: the standby hangs on the primary.
    standby: Cluster,
    _primary: Cluster,
}

impl Pair {
    async fn with_a_lagging_standby() -> Self {
        let primary = Cluster::start(Durability::Fast);
        Database::within(&primary, "postgres").connect().await.execute("create database ledger").await;
        let app = App::on(Database::within(&primary, "ledger"), BINARY);
        let standby = primary.standby();
        let (mut db, mut phone, slow) = history(&app).await;
        let mut replica = Database::within(&standby, "ledger").connect().await;
        until("the standby has it all", async || replica.count("customers where id = 'mine'").await == 1).await;
        let seen = db.text("select cast(pg_current_wal_lsn() as text)").await;
        until("the standby is at the primary's place", async || {
            replica.text(&format!("select cast(pg_last_wal_replay_lsn() >= '{seen}' as text)")).await == "true"
        })
        .await;
        replica.execute("alter system set primary_conninfo = ''").await;
        replica.execute("select pg_reload_conf()").await;
        until("the standby hears no more", async || replica.count("pg_stat_wal_receiver").await == 0).await;
        lost_future(&mut db, &mut phone).await;
        let epoch = epoch_of(&mut phone).await;
        Self { app, phone, slow, epoch, standby, _primary: primary }
    }

    /// The primary is gone, and the standby takes its place.
    async fn fail_over(&mut self) -> Database {
        self.app.server.kill();
        let promoted = Database::within(&self.standby, "ledger");
        let mut db = promoted.connect().await;
        assert_eq!(db.count("customers where id = 'lost7'").await, 0, "the standby did not lag");
        assert_eq!(db.text("select cast(pg_promote() as text)").await, "true");
        promoted
    }
}

async fn inv10_a_promoted_standby_that_had_less_resets_every_device(_: App) {
    let mut pair = Pair::with_a_lagging_standby().await;
    let promoted = App::serve(pair.fail_over().await, BINARY);
    starts_again(&promoted, &[(&pair.phone, "ana"), (&pair.slow, "ben")], &pair.epoch).await;
}

async fn inv10_a_promoted_standby_whose_clock_passed_the_old_cursor_resets_too(_: App) {
    let mut pair = Pair::with_a_lagging_standby().await;
    let database = pair.fail_over().await;
    overtake(&mut database.connect().await, "new").await;
    let promoted = App::serve(database, BINARY);
    starts_again(&promoted, &[(&pair.slow, "ben"), (&pair.phone, "ana")], &pair.epoch).await;
}

async fn inv10_an_outbox_goes_on_after_a_restore(app: App) {
    let (mut db, mut phone, _) = history(&app).await;
    let dump = dump(&app);
    lost_future(&mut db, &mut phone).await;
    // Made before the restore was heard of; the server has forgotten the one before it.
    let mut waiting = phone.mutation("addCustomer", &json!({"clientId": "waited", "name": "Waited"}));
    let cluster = Cluster::start(Durability::Fast);
    let restored = App::serve(elsewhere(&cluster, &dump).await, BINARY);
    let mut phone = moved(&phone, &restored, "ana");
    let reply = phone.push(std::slice::from_ref(&waiting)).await.refused(409, "out_of_order");
    assert_eq!(reply.json()["lastMutationId"], 2, "from where to number again: {}", reply.text);
    assert!(phone.pull().await[0].reset);
    assert_eq!(phone.acknowledged, 2);
    waiting["mutationID"] = json!(3);
    for _ in 0..2 {
        phone.push(std::slice::from_ref(&waiting)).await.expect(200);
    }
    phone.pull().await;
    assert_eq!(phone.acknowledged, 3);
    assert!(phone.row("customers", "waited").is_some());
    assert_converged(&restored, &phone, "ana").await;
}

async fn inv31_a_standby_is_unavailable_until_it_is_promoted(_: App) {
    let mut pair = Pair::with_a_lagging_standby().await;
    let early = App::serve(Database::within(&pair.standby, "ledger"), BINARY);
    let mut phone = moved(&pair.phone, &early, "ana");
    let new = json!({"name": "addCustomer", "args": {"clientId": "new", "name": "New"}, "clientMutationId": "new"});
    for reply in [phone.ask(None).await, phone.push(std::slice::from_ref(&new)).await] {
        let reply = reply.refused(503, "unavailable");
        assert!(reply.headers.contains_key("retry-after"));
    }
    pair.fail_over().await;
    // The same server, without a restart.
    phone.push(&[new]).await.expect(200);
    let pages = phone.pull().await;
    assert!(pages[0].reset && pages[0].body["epoch"] != pair.epoch);
    assert!(phone.row("customers", "new").is_some());
    assert_converged(&early, &phone, "ana").await;
}

/// What was put back goes on by itself before a device comes, past where the phone was: it is ahead of nothing, and yet it has
/// rows that are no more. The server has started since.
async fn comes_to_what_was_put_back(app: &App, phone: &Device, slow: &Device) {
    overtake(&mut app.sql().await, "new").await;
    let mut old = moved(slow, app, "ben");
    let page = old.page(None).await;
    assert!(!page.reset, "what this device has was put back with the rest: {}", page.body);
    let epoch = page.body["epoch"].clone();
    starts_again(app, &[(phone, "ana"), (&old, "ben")], &epoch).await;
}

async fn inv10_a_file_put_back_resets_whom_it_forgot(_: App) {
    for starts_between in [false, true] {
        let dir = TempDir::new("restore");
        let file = |name: &str| dir.path().join(name);
        let mut app = App::on(Database::file(&file("shop.db")), BINARY);
        let (mut db, mut phone, slow) = history(&app).await;
        db.execute(&format!("vacuum into '{}'", file("kept.db").display())).await;
        if starts_between {
            app.restart();
        }
        lost_future(&mut db, &mut phone).await;
        drop(db);
        app.server.kill();
        let _ = std::fs::remove_file(file("shop.db-wal"));
        std::fs::rename(file("kept.db"), file("shop.db")).expect("the file of before comes");
        app.restart();
        comes_to_what_was_put_back(&app, &phone, &slow).await;
    }
}

/// As the shell's `.restore` does it, from another process, while the server has the file open.
async fn inv10_a_file_overwritten_while_it_is_open_resets_whom_it_forgot(_: App) {
    let dir = TempDir::new("overwritten");
    let file = |name: &str| dir.path().join(name);
    let app = App::on(Database::file(&file("shop.db")), BINARY);
    let (mut db, mut phone, slow) = history(&app).await;
    db.execute(&format!("vacuum into '{}'", file("kept.db").display())).await;
    lost_future(&mut db, &mut phone).await;
    db.execute(&format!("attach '{}' as kept", file("kept.db").display())).await;
    let tables =
        "select group_concat(name, ' ') from main.sqlite_schema where type = 'table' and name not like 'sqlite%'";
    let tables = db.text(tables).await;
    let triggers = db.rows("select name, sql from main.sqlite_schema where type = 'trigger'").await;
    let mut whole = "begin immediate;".to_owned();
    for trigger in triggers.iter().flat_map(|row| row[0].as_deref()) {
        whole += &format!("drop trigger {trigger};");
    }
    for table in tables.split(' ') {
        whole += &format!("delete from main.{table}; insert into main.{table} select * from kept.{table};");
    }
    for trigger in triggers.iter().flat_map(|row| row[1].as_deref()) {
        whole += &format!("{trigger};");
    }
    db.execute(&(whole + "commit")).await;
    comes_to_what_was_put_back_at_once(&app, &phone, &slow).await;
}

async fn comes_to_what_was_put_back_at_once(app: &App, phone: &Device, slow: &Device) {
    // The server looks at its database before others have written past where it was.
    let mut old = moved(slow, app, "ben");
    old.page(None).await;
    comes_to_what_was_put_back(app, phone, slow).await;
}

async fn inv10_a_disk_put_back_resets_whom_it_forgot(_: App) {
    for starts_between in [false, true] {
        let mut cluster = Cluster::start(Durability::Fast);
        Database::within(&cluster, "postgres").connect().await.execute("create database ledger").await;
        let mut app = App::on(Database::within(&cluster, "ledger"), BINARY);
        let (_, mut phone, slow) = history(&app).await;
        cluster.keep_disk();
        if starts_between {
            cluster.kill();
            cluster.start_again();
            app.restart();
        }
        lost_future(&mut app.sql().await, &mut phone).await;
        cluster.kill();
        cluster.put_back();
        cluster.start_again();
        app.restart();
        comes_to_what_was_put_back(&app, &phone, &slow).await;
    }
}

/// The server finds its database again, and says so there before the log has gone on and was cut.
async fn inv10_a_disk_put_back_under_a_running_server_resets_too(_: App) {
    let mut cluster = Cluster::start(Durability::Fast);
    Database::within(&cluster, "postgres").connect().await.execute("create database ledger").await;
    let mut app = App::on(Database::within(&cluster, "ledger"), BINARY);
    restarted(&mut app, &[]);
    let (_, mut phone, slow) = history(&app).await;
    cluster.keep_disk();
    lost_future(&mut app.sql().await, &mut phone).await;
    cluster.kill();
    cluster.put_back();
    cluster.start_again();
    until("it is heard again", async || realtime(&app).await["adapters"][0]["healed"] == 1).await;
    let mut db = app.sql().await;
    overtake(&mut db, "early").await;
    db.execute("checkpoint").await;
    comes_to_what_was_put_back(&app, &phone, &slow).await;
}

pub(crate) async fn inv10_a_start_is_no_restore(mut app: App) {
    let (mut db, mut phone, mut slow) = history(&app).await;
    for round in 0..3 {
        customers(&mut db, "s1", &format!("r{round}-"), 3).await;
        phone.pull().await;
        app.restart();
        customers(&mut db, "s1", &format!("s{round}-"), 3).await;
        assert!(phone.pull().await.iter().all(|page| !page.reset), "a start took the phone's rows");
    }
    assert!(slow.pull().await.iter().all(|page| !page.reset), "a device that slept through it all");
    assert_converged(&app, &phone, "ana").await;
    assert_converged(&app, &slow, "ben").await;
}
