//! Invariants 2 and 18: a job writes where its actor may, and nowhere else.

use super::world::{Claims, Customer, Run, World, jobs as all_jobs, mutators as all_mutators, rules, tables, work};
use crate::fixture::both;
use nizhal::{JobEntry, MutatorEntry, prelude::*};
use nizhal_tests::Kind;
use sea_orm::ConnectionTrait;
use serde_json::json;

both![
    inv18_a_job_writes_where_its_actor_may,
    inv18_a_job_is_bounded_by_the_buckets_that_it_names,
    inv18_a_job_of_before_and_a_privileged_one_are_not_bounded,
];

#[nizhal::args]
struct In {
    bucket: String,
    sql: Vec<String>,
}

/// A job for one bucket.
#[mutator(server)]
async fn later_in(ctx: &mut Ctx<Claims>, args: In) -> Result<Applied> {
    ctx.jobs().enqueue(work, Run { sql: args.sql })?.in_bucket(args.bucket);
    Ok(Applied::done())
}

/// A job of an app that takes the responsibility for where it writes customers.
#[nizhal::job(privileged(Customer))]
async fn spread(ctx: &mut JobCtx, args: Run) -> Result<()> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(())
}

#[mutator(server)]
async fn spread_later(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    ctx.jobs().enqueue(spread, args)?;
    Ok(Applied::done())
}

pub(super) fn mutators() -> Vec<MutatorEntry> {
    mutators![later_in, spread_later]
}

pub(super) fn jobs() -> Vec<JobEntry> {
    jobs![spread]
}

fn customer(id: &str, shop: &str) -> String {
    format!("insert into customers (id, shop_id, name) values ('{id}', '{shop}', 'x')")
}

/// Runs what is due, as cron would.
pub(super) async fn run_jobs(world: &World) {
    let app = Nizhal::app("attacked").tables(tables()).mutators(all_mutators()).jobs(all_jobs()).rules(rules());
    // With one connection, what a job leaves on it the next one meets.
    let app = app.database_url(world.database.url()).db_pool(1).job_workers(1);
    app.try_run(["attacked", "jobs", "run-once"].map(Into::into)).await.expect("jobs run");
}

async fn inv18_a_job_writes_where_its_actor_may(kind: Kind) {
    let mut world = World::new(kind).await;
    let customer =
        |id: &str, shop: &str| format!("insert into customers (id, shop_id, name) values ('{id}', '{shop}', 'x')");
    let own = customer("own", "s1");
    assert_eq!(world.ran("later", &[&own]).await, "applied");
    let foreign = [
        customer("x", "s2"),
        customer("x", "nowhere"),
        "update customers set shop_id = 's1' where id = 'c2'".to_owned(),
        "delete from customers where id = 'c2'".to_owned(),
        "delete from notes where id = 'n3'".to_owned(),
        "insert into shop_members (shop_id, user_id) values ('s2', 'ann')".to_owned(),
        "update room_members set role = 'owner' where id = 'm3'".to_owned(),
    ];
    for sql in &foreign {
        assert_eq!(world.ran("later", &[sql]).await, "applied");
        assert_eq!(world.ran("laterStill", &[sql]).await, "applied");
    }
    let mut wanted = world.rows().await;
    run_jobs(&world).await;
    run_jobs(&world).await;
    wanted.insert(11, ["own", "s1", "x"].map(|text| Some(text.to_owned())).to_vec());
    let mut found = world.rows().await;
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let dead = world.db.count("_nizhal_jobs where status = 'dead'").await;
    assert_eq!(dead, 2 * foreign.len() as u64, "given up at once: the same again");
}

async fn inv18_a_job_is_bounded_by_the_buckets_that_it_names(kind: Kind) {
    let mut world = World::new(kind).await;
    world.db.execute("insert into shop_members (shop_id, user_id) values ('s3', 'ann')").await;
    let later_in = |bucket: &str, sql: &str| json!({"bucket": bucket, "sql": [sql]});
    for bucket in ["s2", "nowhere", "myShops:s2", "*"] {
        assert_eq!(world.tried("laterIn", &later_in(bucket, "select 1")).await, "forbidden", "{bucket}");
    }
    assert_eq!(world.tried("laterIn", &later_in("s1", &customer("a", "s1"))).await, "applied");
    assert_eq!(world.tried("laterIn", &later_in("myShops:s3", &customer("b", "s3"))).await, "applied");
    assert_eq!(world.tried("laterIn", &later_in("s1", &customer("c", "s3"))).await, "applied");
    // What it carries it keeps.
    world.db.execute("delete from shop_members where user_id = 'ann'").await;
    run_jobs(&world).await;
    assert_eq!(world.db.count("customers where id in ('a', 'b')").await, 2);
    assert_eq!(world.db.count("customers where id = 'c'").await, 0);
    assert_eq!(world.db.count("_nizhal_jobs where status = 'dead'").await, 1);
}

async fn inv18_a_job_of_before_and_a_privileged_one_are_not_bounded(kind: Kind) {
    let mut world = World::new(kind).await;
    let sql = [customer("a", "s2"), customer("b", "s2"), "delete from notes where id = 'n2'".to_owned()];
    assert_eq!(world.ran("spreadLater", &[&sql[0]]).await, "applied");
    assert_eq!(world.ran("spreadLater", &[&sql[2]]).await, "applied");
    let args = json!({"sql": [sql[1]]}).to_string().replace('\'', "''");
    // As a server wrote it that knew nothing of buckets.
    world.db.execute(&format!("insert into _nizhal_jobs (id, name, args) values ('old', 'work', '{args}')")).await;
    run_jobs(&world).await;
    assert_eq!(world.db.count("customers where id in ('a', 'b')").await, 2);
    assert_eq!(world.db.count("notes where id = 'n2'").await, 1);
}

/// It would be too slow each time: its tries count, and it does not come again for ever.
#[tokio::test]
async fn inv41_a_job_whose_statement_is_too_slow_was_tried() {
    let mut world = World::new(Kind::Postgres).await;
    let slow = ["set local statement_timeout = '20ms'", "select pg_sleep(60)"];
    assert_eq!(world.ran("later", &slow).await, "applied");
    run_jobs(&world).await;
    assert_eq!(world.db.count("_nizhal_jobs where attempts = 1 and last_error like '%statement_timeout'").await, 1);
}
