//! Invariants 12 to 14: kill -9 of the server and of Postgres under load, again and again.

use crate::dice::Dice;
use crate::fixture::{BINARY, customers, two_shops, until_nobody_holds_the_horizon};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Cluster, Connection, Database, Device, Durability, Reply, both, on, until};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

both![inv13_the_server_killed_under_four_outboxes];
on![cluster, Postgres: inv13_postgres_killed_under_four_outboxes, inv01_versions_that_a_crash_forgot_skip_nothing];

const OUTBOXES: usize = 4;

/// What all outboxes together have done.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    requests: u64,
    acknowledged: u64,
    turned_away: u64,
    stop: bool,
}

/// One device with an endless outbox, which replays what was not acknowledged, as it stood.
struct Outbox {
    device: Device,
    dice: Dice,
    load: watch::Sender<Load>,
    acknowledged: watch::Sender<u64>,
}

impl Outbox {
    async fn run(mut self) -> Device {
        let mut made = 0;
        while !self.load.borrow().stop {
            let batch: Vec<Value> = (0..=self.dice.roll(3)).map(|_| self.next(&mut made)).collect();
            while !self.send(&batch, made).await {
                // Only so as not to burn a core while the server is away; nothing relies on its length.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        self.device
    }

    /// Each writes two rows: a half of it would show.
    fn next(&mut self, made: &mut u64) -> Value {
        *made += 1;
        let id = format!("{}-{made:05}", self.device.id);
        let args = json!({"clientId": id, "customerId": "c1", "amount": 1, "dueDate": "2027-01-01T00:00:00Z"});
        self.device.mutation("recordCredit", &args)
    }

    /// Whether the batch is acknowledged, all of it; any answer but "done" and "later" is a fault.
    async fn send(&self, batch: &[Value], last: u64) -> bool {
        self.load.send_modify(|load| load.requests += 1);
        let Ok(reply) = Reply::try_of(self.device.push_request(batch)).await else { return false };
        if reply.status == 503 {
            assert!(reply.headers.contains_key("retry-after"), "503 without retry-after: {}", reply.text);
            self.load.send_modify(|load| load.turned_away += 1);
            return false;
        }
        let answer = reply.expect(200).json();
        assert_eq!(answer["applied"].as_array().map(Vec::len), Some(batch.len()), "{answer}");
        assert_eq!(answer["lastMutationId"], json!(last), "{answer}");
        self.acknowledged.send_replace(last);
        self.load.send_modify(|load| load.acknowledged += 1);
        true
    }
}

/// Four outboxes at work, and what each was told.
struct Outboxes {
    load: watch::Sender<Load>,
    acknowledged: Vec<(String, watch::Sender<u64>)>,
    running: Vec<JoinHandle<Device>>,
    dice: Dice,
}

impl Outboxes {
    fn begin(app: &App) -> Self {
        let load = watch::Sender::new(Load::default());
        let (mut acknowledged, mut running) = (Vec::new(), Vec::new());
        for number in 0..OUTBOXES {
            let device = app.device(&format!("box{number}"), ["ana", "ben"][number % 2], "s1");
            let told = watch::Sender::new(0);
            acknowledged.push((device.id.clone(), told.clone()));
            let dice = Dice::of(&format!("outbox {number}"));
            running.push(tokio::spawn(Outbox { device, dice, load: load.clone(), acknowledged: told }.run()));
        }
        Self { load, acknowledged, running, dice: Dice::of("kills") }
    }

    /// Until some more pushes are acknowledged, and then a few more are sent; an instant with pushes on their way.
    async fn some_load(&mut self) {
        let mut seen = self.load.subscribe();
        let target = seen.borrow().acknowledged + 1 + self.dice.roll(12);
        self.lively();
        seen.wait_for(|load| load.acknowledged >= target).await.expect("the sender is ours");
        let target = seen.borrow().requests + 1 + self.dice.roll(3);
        seen.wait_for(|load| load.requests >= target).await.expect("the sender is ours");
        // Somewhere between the request's first byte and the answer's last.
        for _ in 0..self.dice.roll(400) {
            tokio::task::yield_now().await;
        }
        self.lively();
    }

    /// An outbox that ended met a fault.
    fn lively(&self) {
        assert!(self.running.iter().all(|outbox| !outbox.is_finished()), "an outbox met a fault");
    }

    /// What each was told until now.
    fn told(&self) -> Vec<u64> {
        self.acknowledged.iter().map(|(_, told)| *told.borrow()).collect()
    }

    /// By plain SQL: all that was acknowledged before is there once, what is there is a beginning of each outbox, none half.
    async fn check(&self, db: &mut Connection, told: &[u64]) {
        // One moment for all: a killed server's last commit may still be on its way through Postgres.
        db.begin_snapshot().await;
        for ((outbox, _), told) in self.acknowledged.iter().zip(told) {
            let ids = db.rows(&format!("select id from ledger_entries where id like '{outbox}-%' order by id")).await;
            let ids: Vec<String> = ids.into_iter().filter_map(|mut row| row.remove(0)).collect();
            let beginning: Vec<String> = (1..=ids.len()).map(|number| format!("{outbox}-{number:05}")).collect();
            assert_eq!(ids, beginning, "{outbox}: not a beginning of it");
            let count = ids.len() as u64;
            assert!(count >= *told, "{outbox}: {told} acknowledged, {count} there");
            // A credit that is due comes with two jobs.
            let jobs = db.count(&format!("_nizhal_jobs where args like '%\"{outbox}-%'")).await;
            assert_eq!(jobs, 2 * count, "{outbox}: a mutation is half there");
            let answers = format!("_nizhal_mutations where client_id = '{outbox}' and status = 'applied'");
            assert_eq!(db.count(&answers).await, count, "{outbox}: rows and stored answers differ");
            let last = format!(
                "select cast(coalesce(max(last_mutation_id), 0) as text) from _nizhal_clients where client_id = '{outbox}'"
            );
            assert_eq!(db.text(&last).await, count.to_string(), "{outbox}: rows and sequence differ");
        }
        db.execute("commit").await;
    }

    /// Lets the outboxes empty themselves; the devices, and how much there was.
    async fn end(self) -> (Vec<Device>, Load) {
        self.load.send_modify(|load| load.stop = true);
        let mut devices = Vec::new();
        for outbox in self.running {
            devices.push(outbox.await.expect("an outbox met a fault"));
        }
        let load = *self.load.borrow();
        (devices, load)
    }
}

/// After the last kill: every outbox drains, and every device holds what the database holds.
async fn drains(app: &App, db: &mut Connection, outboxes: Outboxes) -> Load {
    let acknowledged = outboxes.acknowledged.clone();
    let checker = Outboxes { running: Vec::new(), acknowledged, load: outboxes.load.clone(), dice: Dice::of("none") };
    let (devices, load) = outboxes.end().await;
    checker.check(db, &checker.told()).await;
    let told: u64 = checker.told().iter().sum();
    assert_eq!(db.count("ledger_entries").await, told, "more is there than was acknowledged, and nothing is under way");
    until_nobody_holds_the_horizon(app).await;
    for (number, mut device) in devices.into_iter().enumerate() {
        device.pull().await;
        assert_eq!(device.acknowledged, i64::try_from(*checker.acknowledged[number].1.borrow()).expect("small"));
        assert_converged(app, &device, ["ana", "ben"][number % 2]).await;
    }
    load
}

pub(crate) async fn inv13_the_server_killed_under_four_outboxes(mut app: App) {
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    let mut outboxes = Outboxes::begin(&app);
    for _ in 0..nizhal_seeds::count(6) {
        outboxes.some_load().await;
        app.server.kill();
        // The kill takes a moment; what was acknowledged meanwhile counts too.
        let told = outboxes.told();
        outboxes.check(&mut db, &told).await;
        app.restart();
    }
    drains(&app, &mut db, outboxes).await;
}

async fn inv13_postgres_killed_under_four_outboxes(_: App) {
    let mut cluster = Cluster::start(Durability::Synced);
    Database::within(&cluster, "postgres").connect().await.execute("create database ledger").await;
    let app = App::on(Database::within(&cluster, "ledger"), BINARY);
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 1).await;
    let (server, mut outboxes) = (app.server.id(), Outboxes::begin(&app));
    for _ in 0..nizhal_seeds::count(5) {
        outboxes.some_load().await;
        cluster.kill();
        // The kill takes a moment; what was acknowledged meanwhile counts too.
        let told = outboxes.told();
        cluster.start_again();
        // One snapshot, because the server has gone on already.
        let mut db = app.sql().await;
        db.execute("begin isolation level repeatable read").await;
        outboxes.check(&mut db, &told).await;
    }
    let load = drains(&app, &mut app.sql().await, outboxes).await;
    assert_eq!(app.server.id(), server, "the server that recovered is the one of the beginning");
    assert!(load.turned_away > 0, "no push met a database that was away");
}

/// A version that was drawn and rolled back need not be on the disk when a device's cursor has it; after a crash it is drawn
/// a second time, for a row.
async fn inv01_versions_that_a_crash_forgot_skip_nothing(_: App) {
    let mut cluster = Cluster::start_with(Durability::Synced, "-c wal_writer_delay=10s");
    Database::within(&cluster, "postgres").connect().await.execute("create database ledger").await;
    let app = App::on(Database::within(&cluster, "ledger"), BINARY);
    let mut db = two_shops(&app).await;
    customers(&mut db, "s1", "c", 3).await;
    let mut tablet = app.device("tablet", "ben", "s1");
    tablet.pull().await;
    for _ in 0..100 {
        db.execute("begin; insert into customers (id, shop_id, name) values ('no', 's1', 'No'); rollback").await;
    }
    tablet.pull().await;
    cluster.kill();
    cluster.start_again();
    let mut db = app.sql().await;
    for number in 0..150 {
        db.execute(&format!("insert into customers (id, shop_id, name) values ('n{number}', 's1', 'New')")).await;
    }
    // The server's connections broke.
    until("the server is back", async || tablet.ask(None).await.status == 200).await;
    tablet.pull().await;
    assert_converged(&app, &tablet, "ben").await;
}
