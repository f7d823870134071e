//! What a push asks of Postgres, and a pull of SQLite: every statement is a round trip, and they are what a request costs. With the
//! audit log on.

use crate::{
    fixture::BINARY,
    plan::{World, run, statistics},
};
use nizhal_tests::{App, Kind, play, until};
use serde_json::{Value, json};

/// The statements that were run at least so often, by their first words, with the number of their calls and plannings. That other
/// servers are told is none of them: no push waits for it, and how much travels in one such statement hangs on the machine's speed.
async fn often(world: &mut World, least: u64) -> Vec<(String, u64, u64)> {
    let mut found = Vec::new();
    // The last commit is counted when it ends, which may be just after its answer was sent.
    until("the commits of all pushes", async || {
        found = statistics(&mut world.db).await;
        found.iter().any(|(sql, calls, _)| sql == "COMMIT" && *calls >= least)
    })
    .await;
    let name = |sql: &str| sql.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    let mut often: Vec<_> = found
        .iter()
        .filter(|(sql, calls, _)| *calls >= least && !sql.starts_with("select pg_notify("))
        .map(|(sql, calls, plans)| (name(sql), *calls, *plans))
        .collect();
    often.sort();
    often
}

/// A world in which the device has one customer, and a push of so many new names for it.
async fn renames(world: &World, count: usize) -> (nizhal_tests::Device, Vec<Value>) {
    let mut device = world.app.device("d", "ana", "s1");
    let add = json!({"clientId": "c", "name": "Sunil"});
    device.mutate("addCustomer", &add).await.expect(200);
    let rename = |number| json!({"customerId": "c", "value": format!("Sunil {number}")});
    let mutations = (0..count).map(|number| device.mutation("updateCustomerName", &rename(number))).collect();
    (device, mutations)
}

async fn a_push_is_four_statements_beside_its_mutators() {
    const PUSHES: u64 = 200;
    let mut world = World::new().await;
    let (device, mutations) = renames(&world, 200).await;
    world.db.execute("select pg_stat_statements_reset()").await;
    for mutation in &mutations {
        device.push(std::slice::from_ref(mutation)).await.expect(200);
    }
    let wanted = [
        ("BEGIN", "begins"),
        ("COMMIT", "ends"),
        ("SELECT \"customers\".\"id\", \"customers\".\"shop_id\",", "the mutator's first"),
        ("UPDATE \"customers\" SET", "the mutator's second"),
        ("select c.actor, c.last_mutation_id,", "admits"),
        ("select ended.* from", "records"),
    ];
    let found = often(&mut world, PUSHES).await;
    assert_eq!(found.iter().map(|(sql, ..)| sql.as_str()).collect::<Vec<_>>(), wanted.map(|(sql, _)| sql));
    // Five times a connection, and again when statistics were taken; a plan that is not kept is made each time.
    assert!(found.iter().all(|(_, calls, plans)| *calls == PUSHES && *plans <= PUSHES * 3 / 4), "{found:?}");
}

#[test]
fn inv29_a_push_is_four_statements_beside_its_mutators() {
    run(a_push_is_four_statements_beside_its_mutators());
}

async fn a_batch_adds_one_statement_to_each_mutator() {
    let mut world = World::new().await;
    let (device, mutations) = renames(&world, 200).await;
    world.db.execute("select pg_stat_statements_reset()").await;
    for batch in mutations.chunks(50) {
        device.push(batch).await.expect(200);
    }
    let found = often(&mut world, 4).await;
    let calls =
        |name: &str| found.iter().filter(|(sql, ..)| sql.starts_with(name)).map(|(_, calls, _)| *calls).sum::<u64>();
    let each = ["BEGIN", "COMMIT", "select c.actor,", "select ended.*"].map(calls);
    // Four, or a few more where the machine is so busy that fifty take longer than a transaction may.
    assert!(each.iter().all(|calls| (4..=40).contains(calls)), "{each:?}");
    assert_eq!(calls("UPDATE \"customers\""), 200);
    // Others are the server's own rounds, such as looking for jobs; what every mutation runs is two hundred.
    let mut many: Vec<_> = found.iter().filter(|(_, calls, _)| *calls >= 100).map(|(sql, ..)| sql.as_str()).collect();
    many.retain(|sql| !sql.contains("customers"));
    assert_eq!(many, ["select case when"], "what the log wants to know: {found:#?}");
}

#[test]
fn inv29_a_batch_adds_one_statement_to_each_mutator() {
    run(a_batch_adds_one_statement_to_each_mutator());
}

/// The statements that read changes in the order of versions, of which the server's log tells, until now.
async fn reads_of_changes(app: &App, fence: usize) -> usize {
    // The log is a pipe: what this warns of comes behind all that was logged before.
    let mut late = app.device(&format!("fence{fence}"), "ana", "s1");
    let mut mutation = late.mutation("addCustomer", &json!({"clientId": format!("fence{fence}"), "name": "Sunil"}));
    mutation["hlc"] = "2200-01-01T00:00:00.000Z-0000-000000000000000000000000000000aa".into();
    late.push(&[mutation]).await.expect(200);
    let clamped = || app.server.output().matches("its stamp was clamped").count();
    until("the fence", async || clamped() == fence).await;
    let output = app.server.output();
    output
        .lines()
        .filter(|line| line.contains("sqlx::query") && line.contains("order by") && line.contains("version"))
        .count()
}

#[test]
fn inv29_a_pull_on_sqlite_reads_many_buckets_by_as_many_statements_as_few() {
    play(async || {
        let mut app = App::start(Kind::Sqlite, BINARY).await;
        app.set_up = app.set_up.clone().env("RUST_LOG", "info,sqlx::query=debug");
        app.restart();
        let mut db = app.sql().await;
        db.execute("insert into shop_members (shop_id, user_id, role) values ('s1', 'ana', 'staff')").await;
        let (mut fences, mut counts) = (0, Vec::new());
        for buckets in [2, 5_000] {
            let (user, shop) = (format!("u{buckets}"), format!("s{buckets}-"));
            let number = format!("with recursive n(i) as (select 1 union all select i + 1 from n where i < {buckets})");
            let members = "insert into shop_members (shop_id, user_id, role)";
            db.execute(&format!("{number} {members} select '{shop}' || i, '{user}', 'staff' from n")).await;
            let customers = "insert into customers (id, shop_id, name)";
            db.execute(&format!("{number} {customers} select '{shop}c' || i, '{shop}' || i, 'Name' from n")).await;
            let mut device = app.device(&user, &user, "s1");
            device.pull().await;
            assert_eq!(device.ids("customers").len(), buckets);

            db.execute(&format!("update customers set name = 'New' where id = '{shop}c2'")).await;
            db.execute(&format!("delete from customers where id = '{shop}c1'")).await;
            let before = reads_of_changes(&app, fences + 1).await;
            let pages = device.pull().await;
            counts.push(reads_of_changes(&app, fences + 2).await - before);
            fences += 2;
            assert_eq!((pages.len(), device.ids("customers").len()), (1, buckets - 1));
            assert_eq!(
                device.row("customers", &format!("{shop}c2")).map(|row| row["name"].clone()),
                Some("New".into())
            );
        }
        // A table each, and the tombstones.
        assert_eq!(counts, [4, 4]);
    });
}
