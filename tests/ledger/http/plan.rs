//! Invariant 29: a pull costs what it brings, not what the tables hold; read off the plans that Postgres ran.

use crate::{fixture::BINARY, wire2_pull::open};
use nizhal_tests::{App, Cluster, Connection, Database, Device, Durability, until};
use serde_json::Value;

/// Tables that are large here; whatever touches one must do so by an index.
const LARGE: [&str; 6] =
    ["customers", "ledger_entries", "reminders", "shop_members", "_nizhal_tombstones", "_nizhal_clients"];
/// The most rows in a page that does not say.
const LIMIT: u64 = 1_000;
const BUCKETS: u64 = 100;

/// Ana's hundred shops among the memberships of others, and a clock that is ahead of all that `ROWS` writes.
const MEMBERS: &str = "
    insert into shop_members (shop_id, user_id, role)
        select 's' || (i % 100), case when i < 100 then 'ana' else 'u' || i end, 'staff' from generate_series(0, 49999) i;
    analyze;
    select setval('_nizhal_clock', 200000)";
/// Entries, and fifty thousand rows in each other table; below the clock as if they had been there before, and without triggers.
const ROWS: &str = "
    alter table ledger_entries disable trigger user;
    alter table customers disable trigger user;
    alter table reminders disable trigger user;
    insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by, _nizhal_version)
        select 'e' || i, 's' || (i % 100), 'c' || (i % 50000), 1.5, '2026-01-01', 'ana', 2 + i / 10
        from generate_series(1, {entries}) i;
    insert into customers (id, shop_id, name, _nizhal_version)
        select 'c' || i, 's' || (i % 100), 'Name', 2 + i from generate_series(0, 49999) i;
    insert into reminders (id, shop_id, customer_id, entry_id, scheduled_at, _nizhal_version)
        select 'r' || i, 's' || (i % 100), 'c' || i, 'e' || i, '2026-01-01', 2 + i from generate_series(0, 49999) i;
    insert into _nizhal_tombstones (rule, bucket, tbl, id, kind, version)
        select 'myShops', '[\"s' || (i % 100) || '\"]', 'customers', 'gone' || i, 'delete', 2 + i
        from generate_series(0, 49999) i;
    insert into _nizhal_clients (client_id, actor) select 'client' || i, 'u' || i from generate_series(0, 49999) i;
    alter table ledger_entries enable trigger user;
    alter table customers enable trigger user;
    alter table reminders enable trigger user;
    analyze _nizhal_clients";

/// Somebody wrote what no device here sees.
const ELSEWHERE: &str = "select nextval('_nizhal_clock')";

pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) db: Connection,
    cluster: Cluster,
}

impl World {
    pub(crate) async fn new() -> Self {
        let options = "-c shared_preload_libraries=auto_explain,pg_stat_statements -c auto_explain.log_min_duration=0 \
            -c auto_explain.log_analyze=on -c auto_explain.log_timing=off -c auto_explain.log_format=json \
            -c pg_stat_statements.track_planning=on -c autovacuum=off -c max_wal_size=8GB";
        let cluster = Cluster::start_with(Durability::Fast, options);
        let app = App::on(Database::within(&cluster, "postgres"), BINARY);
        let mut db = app.sql().await;
        db.execute("create extension pg_stat_statements").await;
        db.execute(MEMBERS).await;
        Self { app, db, cluster }
    }

    async fn fill(&mut self, entries: u64) {
        self.db.execute(&ROWS.replace("{entries}", &entries.to_string())).await;
    }

    /// What was run by the statements of this pull, each a plan.
    async fn plans(&self, pull: impl AsyncFnOnce()) -> Vec<Value> {
        self.plans_of("with args as", pull).await
    }

    /// The same for statements that begin so.
    async fn plans_of(&self, begin: &str, pull: impl AsyncFnOnce()) -> Vec<Value> {
        let before = self.cluster.log().len();
        pull().await;
        let mut found = Vec::new();
        // The plan is written when the statement ends, which may be just after its last row was sent.
        until("the plan of the pull", async || {
            found = plans(begin, &self.cluster.log()[before..]);
            !found.is_empty()
        })
        .await;
        found
    }
}

/// The plans of statements that begin so in a log: `… plan:`, then the JSON, each line after a tab.
fn plans(begin: &str, log: &str) -> Vec<Value> {
    log.split("plan:\n")
        .skip(1)
        .filter_map(|entry| {
            let json: String = entry.lines().take_while(|line| line.starts_with('\t')).collect();
            serde_json::from_str::<Value>(&json).ok()
        })
        // A glance goes over nothing but memberships.
        .filter(|entry| {
            entry["Query Text"].as_str().is_some_and(|sql| sql.starts_with(begin) && !sql.contains("_nizhal_horizon"))
        })
        .map(|entry| entry["Plan"].clone())
        .collect()
}

fn nodes<'a>(plan: &'a Value, into: &mut Vec<&'a Value>) {
    into.push(plan);
    plan["Plans"].as_array().into_iter().flatten().for_each(|child| nodes(child, into));
}

/// Rows that a node went over, in all its loops.
fn visited(node: &Value) -> u64 {
    let number = |name: &str| node[name].as_u64().unwrap_or_default();
    (number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck"))
        * number("Actual Loops")
}

/// Asserts what [`indexed`] does, that every large table is named, and that the rows gone over are at most so many.
fn assert_indexed(plan: &Value, most: u64) {
    let (touched, rows) = indexed(plan);
    for table in LARGE {
        assert!(touched.iter().any(|touched| touched == table), "the plan names {table} nowhere");
    }
    assert!(rows <= most, "{rows} rows were gone over, {most} would do\n{plan:#}");
}

/// Asserts that large tables are read by index alone, and that nothing but a page is put in order; gives the tables, and the rows
/// gone over.
fn indexed(plan: &Value) -> (Vec<String>, u64) {
    let mut all = Vec::new();
    nodes(plan, &mut all);
    let mut touched = Vec::new();
    let mut rows = 0;
    for node in all {
        let what = node["Node Type"].as_str().unwrap_or_default();
        if let Some(table) = node["Relation Name"].as_str().filter(|table| LARGE.contains(table)) {
            assert!(matches!(what, "Index Scan" | "Index Only Scan"), "{what} on {table}: {node:#}");
            let condition = node["Index Cond"].as_str().unwrap_or_default();
            if node["Index Name"].as_str().is_some_and(|index| index.starts_with("_nizhal_ix"))
                && table != "shop_members"
            {
                // From the position on and up to the horizon, or from the horizon on, and not by the scope alone.
                let changes = condition.contains("ROW(") && condition.contains("<=");
                assert!(changes || condition.contains("version >"), "{table}: {condition}");
            }
            rows += visited(node);
            touched.push(table.to_owned());
        }
        if what.contains("Sort") {
            assert!(node["Actual Rows"].as_u64() <= Some(LIMIT + 1), "{node:#}");
            assert_ne!(node["Sort Space Type"], "Disk", "{node:#}");
        }
    }
    (touched, rows)
}

/// Asserts of the first page of this user's device that its statements read three tables by index, twice: where the page ends, and its
/// rows; and that they go over at most so many rows.
async fn assert_first_page(world: &World, user: &str, most: u64) {
    let mut device = world.app.device(&format!("first {user}"), user, "s1");
    let mut rows = 0;
    let plans = world
        .plans_of("select ", async || {
            rows = device.page(None).await.changed.len() as u64;
        })
        .await;
    // A page ends between transactions, which have ten rows here and one in each other table.
    assert!((LIMIT - 12..=LIMIT).contains(&rows), "{user}: {rows} rows");
    let (mut counts, mut visited) = ([0; 3], 0);
    for (tables, rows) in plans.iter().map(indexed) {
        for (count, table) in counts.iter_mut().zip(LARGE) {
            *count += tables.iter().filter(|touched| *touched == table).count();
        }
        visited += rows;
    }
    assert_eq!(counts, [2; 3], "{user}: {plans:#?}");
    assert!(visited <= most, "{user}: {visited} rows were gone over, {most} would do\n{plans:#?}");
}

async fn every_scan_uses_its_index() {
    let mut world = World::new().await;
    let mut device = world.app.device("d", "ana", "s1");
    // Plans that were made for empty tables must not outlive them.
    for _ in 0..20 {
        world.db.execute(ELSEWHERE).await;
        assert!(!device.page(None).await.has_more);
    }
    world.fill(1_000_000).await;
    // Nor may Postgres be misled while it has not yet counted what was filled in. Somebody wrote elsewhere each time, or hardly
    // anything would be asked.
    world.db.execute(ELSEWHERE).await;
    let plans = world.plans(async || assert_eq!(device.page(None).await.changed.len(), 0)).await;
    assert_indexed(&plans[0], BUCKETS);
    assert_first_page(&world, "u101", 1 + 4 * (LIMIT + 1)).await;
    world.db.execute("analyze").await;

    for _ in 0..20 {
        world.db.execute(ELSEWHERE).await;
        let plans = world.plans(async || assert_eq!(device.page(None).await.changed.len(), 0)).await;
        assert_eq!(plans.len(), 1, "one statement");
        assert_indexed(&plans[0], BUCKETS);
    }
    world.db.execute("update ledger_entries set reason = 'new' where id = 'e77'").await;
    let plans = world.plans(async || assert_eq!(device.page(None).await.changed.len(), 1)).await;
    assert_indexed(&plans[0], BUCKETS + 1);
    world.db.execute("delete from ledger_entries where id = 'e78'").await;
    let plans = world.plans(async || assert_eq!(device.page(None).await.tombstoned.len(), 1)).await;
    assert_indexed(&plans[0], BUCKETS + 1);
    world.db.execute("update ledger_entries set shop_id = 's1' where id = 'e79'").await;
    let plans = world.plans(async || assert_eq!(device.page(None).await.changed.len(), 1)).await;
    // The row, its tombstone in the shop that it left, and by its key the row that another bucket shows.
    assert_indexed(&plans[0], BUCKETS + 3);

    // A page from every bucket of every table, of which the first in order are taken.
    assert_first_page(&world, "ana", BUCKETS + 4 * BUCKETS * (LIMIT + 1)).await;
    assert_first_page(&world, "u101", 1 + 4 * (LIMIT + 1)).await;
}

/// A first sync as a stream puts nothing in order, which would be done on the disk, and reads what is in the device's buckets.
async fn a_streamed_first_sync_sorts_nothing() {
    let mut world = World::new().await;
    let entries = nizhal_seeds::count(200_000).min(1_000_000);
    world.fill(entries).await;
    world.db.execute("analyze").await;
    // One shop of a hundred, and all of them.
    for user in ["u101", "ana"] {
        let device = world.app.device(&format!("streams {user}"), user, "s1").wire_two();
        let plans = world
            .plans_of("declare nizhal_rest", async || {
                let body = open(device.pull_request(None)).await.text().await.expect("all of it");
                assert!(body.ends_with('\n') && body.contains("\"cursor\""), "{user}");
            })
            .await;
        assert!(!plans.is_empty());
        for plan in &plans {
            let mut all = Vec::new();
            nodes(plan, &mut all);
            for node in all {
                let what = node["Node Type"].as_str().unwrap_or_default();
                assert!(!what.contains("Sort"), "{user}: {plan:#}");
                // Who has all shops may have all read; an entry of one shop is one in a hundred.
                assert!(user == "ana" || what != "Seq Scan" && visited(node) <= entries / 100, "{user}: {plan:#}");
            }
        }
    }
}

#[test]
fn inv29_a_streamed_first_sync_sorts_nothing() {
    run(a_streamed_first_sync_sorts_nothing());
}

#[test]
fn inv29_every_scan_uses_its_index() {
    run(every_scan_uses_its_index());
}

/// Each statement that the server ran since the last reset, with the number of its calls and of its plannings.
pub(crate) async fn statistics(db: &mut Connection) -> Vec<(String, u64, u64)> {
    let sql =
        "select query, calls::text, plans::text from pg_stat_statements where query not like '%pg_stat_statements%'";
    let text = |row: &[Option<String>], at: usize| row[at].clone().unwrap_or_default();
    let rows = db.rows(sql).await;
    rows.iter().map(|row| (text(row, 0), text(row, 1).parse().unwrap(), text(row, 2).parse().unwrap())).collect()
}

const PULLS: u64 = 200;

/// Pulls often and finds nothing new, each time after this was done; gives the calls and plannings of glances, which read the clock
/// and the frame in one, and of the statement that reads changes.
async fn idle_pulls(world: &mut World, device: &mut Device, before: Option<&str>) -> [(u64, u64); 2] {
    world.db.execute("select pg_stat_statements_reset()").await;
    for _ in 0..PULLS {
        if let Some(sql) = before {
            world.db.execute(sql).await;
        }
        assert!(device.page(None).await.changed.is_empty());
    }
    let (mut all, mut found) = (0, [(0, 0); 2]);
    // The last one is counted when it ends, which may be just after its last row was sent.
    until("the statements of all pulls", async || {
        let ours = statistics(&mut world.db).await;
        let of = |begin: &str, within: &str| {
            let fit = ours.iter().filter(|(sql, ..)| sql.starts_with(begin) && sql.contains(within));
            fit.fold((0, 0), |sum, (_, calls, plans)| (sum.0 + calls, sum.1 + plans))
        };
        found = [of("with args as", "_nizhal_horizon()"), of("with args as", "ledger_entries")];
        all = of("", "_nizhal_horizon()").0;
        all >= PULLS && (before.is_none() || found[1].0 >= PULLS)
    })
    .await;
    assert_eq!(all, PULLS, "the clock is read once a pull");
    found
}

async fn a_pull_after_nobody_wrote_is_one_statement() {
    let mut world = World::new().await;
    let mut device = world.app.device("d", "ana", "s1");
    device.pull().await;
    let mut planned = 0;
    // For a while yet the server hears of what was written before the first pull.
    until("pulls of one statement each", async || {
        let [(glances, plans), (reads, _)] = idle_pulls(&mut world, &mut device, None).await;
        planned = plans;
        (glances, reads) == (PULLS, 0)
    })
    .await;
    // Five times a connection at most, then Postgres keeps the plan.
    assert!(planned <= 60, "planned {planned} times");
}

#[test]
fn inv29_a_pull_after_nobody_wrote_is_one_statement() {
    run(a_pull_after_nobody_wrote_is_one_statement());
}

async fn a_pull_with_nothing_new_is_two_statements() {
    let mut world = World::new().await;
    let mut device = world.app.device("d", "ana", "s1");
    device.pull().await;
    let [(_, looked), (reads, plans)] = idle_pulls(&mut world, &mut device, Some(ELSEWHERE)).await;
    assert_eq!(reads, PULLS);
    assert!(looked <= 60 && plans <= 60, "planned {looked} and {plans} times");
}

#[test]
fn inv29_a_pull_with_nothing_new_is_two_statements() {
    run(a_pull_with_nothing_new_is_two_statements());
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime starts").block_on(test);
}
