//! Invariant 18: what a trigger writes that waits for the commit is judged too, and nothing runs after that.

use super::{
    jobs::run_jobs,
    world::{Claims, Customer, Note, Run, World, actor, mutation, told},
};
use crate::fixture::{both, push_of};
use nizhal::{MutatorEntry, prelude::*};
use nizhal_core::wire::Wire;
use nizhal_tests::Kind;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};

const REJECTED: &str = "rejected: the data breaks a constraint of the database";

/// Trigger functions: one writes a customer in the shop that its row's id names, one defers that to after all that was deferred.
const SPREAD: &str = "create table steps (step text); \
    create function spread() returns trigger language plpgsql as $$ begin \
        insert into customers (id, shop_id, name) values (gen_random_uuid()::text, split_part(new.id, '-', 2), 'by a trigger'); \
        return null; end $$; \
    create function step() returns trigger language plpgsql as $$ begin \
        set constraints all deferred; insert into customers (id, shop_id, name) values ('z-s2', 's1', 'x'); return null; end $$; \
    create function join_shop() returns trigger language plpgsql as $$ begin \
        insert into shop_members (shop_id, user_id) values ('s2', 'ann'); return null; end $$; \
    create function go_away() returns trigger language plpgsql as $$ begin \
        delete from shop_members where user_id = 'ann'; return null; end $$; \
    create constraint trigger step after insert on steps deferrable initially deferred for each row execute function step();";

/// Whatever SQL, by an app that takes the responsibility for where customers are written.
#[mutator(privileged(Customer))]
async fn write_customers(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

/// The same for notes.
#[mutator(privileged(Note))]
async fn write_notes(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

pub(super) fn mutators() -> Vec<MutatorEntry> {
    mutators![write_customers, write_notes]
}

/// What defers one of these functions to the commit of whoever inserts a row with a name like its own.
fn deferred(function: &str) -> String {
    format!(
        "create constraint trigger z_{function} after insert on customers deferrable initially deferred for each row \
         when (new.name = '{function}') execute function {function}()"
    )
}

fn customer(id: &str, name: &str) -> String {
    format!("insert into customers (id, shop_id, name) values ('{id}', 's1', '{name}')")
}

async fn world() -> World {
    let mut world = World::new(Kind::Postgres).await;
    world.db.execute(SPREAD).await;
    for function in ["spread", "join_shop", "go_away"] {
        world.db.execute(&deferred(function)).await;
    }
    // The triggers are others than they were at the start, which a first mutation has looked into.
    assert_eq!(world.ran("run", &["select 1"]).await, "applied");
    world
}

#[tokio::test]
async fn inv18_what_a_deferred_trigger_writes_is_judged() {
    let mut world = world().await;
    let before = world.rows().await;
    let foreign: [&[&str]; 4] = [
        &[&customer("a-s2", "spread")],
        &[&customer("a-s1", "spread"), &customer("b-s2", "spread")],
        &[&customer("a", "join_shop")],
        &["set constraints all immediate", "set constraints all deferred", &customer("a-s2", "spread")],
    ];
    for sql in foreign {
        assert_eq!(world.ran("run", sql).await, "forbidden", "{sql:?}");
        assert_eq!(world.rows().await, before, "{sql:?}");
    }
    assert_eq!(world.ran("run", &[&customer("c-s1", "spread")]).await, "applied");
    assert_eq!(world.db.count("customers where name = 'by a trigger' and shop_id = 's1'").await, 1);
    assert_eq!(world.db.count("customers where name = 'by a trigger' and _nizhal_version is null").await, 0);
}

#[tokio::test]
async fn inv18_what_defers_itself_again_is_refused() {
    let mut world = world().await;
    world
        .db
        .execute(
            "drop trigger z_spread on customers; \
             create constraint trigger z_spread after insert on customers deferrable initially deferred for each row \
             when (new.id like '%-s2') execute function spread()",
        )
        .await;
    let before = world.rows().await;
    let ran = world.ran("run", &["insert into steps (step) values ('one')"]).await;
    assert_eq!(ran, REJECTED);
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn inv18_a_trigger_that_a_mutation_defers_itself_is_judged() {
    let mut world = world().await;
    let before = world.rows().await;
    let create = "create table own (id text); create constraint trigger mine after insert on own \
        deferrable initially deferred for each row execute function spread(); insert into own (id) values ('x-s2')";
    assert_eq!(world.ran("run", &[create]).await, "forbidden");
    assert_eq!(world.rows().await, before);
}

#[tokio::test]
async fn inv18_deferred_writes_are_judged_one_mutation_at_a_time() {
    let mut world = world().await;
    let run = |name: &str, sql: &str| mutation(name, &json!({"sql": [sql]}));
    let batch: Vec<Value> = vec![
        run("run", &customer("a", "x")),
        run("run", &customer("b-s2", "spread")),
        run("run", &customer("c-s1", "spread")),
        run("writeNotes", &customer("d-s2", "spread")),
        run("run", &customer("e", "x")),
    ];
    let reply = world.engine.push(&actor("ann"), Wire::Two, push_of(&batch)).await;
    assert_eq!(told(&reply), ["applied", "forbidden", "applied", "forbidden", "applied"]);
    assert_eq!(world.db.count("customers where shop_id = 's2'").await, 1);
    // One that may write customers anywhere takes nobody else's along.
    let batch: Vec<Value> =
        vec![run("writeCustomers", &customer("f-s2", "spread")), run("run", &customer("g-s2", "spread"))];
    let reply = world.engine.push(&actor("ann"), Wire::Two, push_of(&batch)).await;
    assert_eq!(told(&reply), ["applied", "forbidden"]);
    assert_eq!(world.db.count("customers where shop_id = 's2'").await, 2);
}

#[tokio::test]
async fn inv18_memberships_that_a_deferred_trigger_takes_are_gone() {
    let world = world().await;
    // The mutator may write memberships, and has its actor's removed by a trigger: the row is judged by those of before, and the
    // next mutation finds none.
    assert_eq!(world.ran("manage", &[&customer("a", "go_away")]).await, "applied");
    assert_eq!(world.ran("run", &[&customer("b", "x")]).await, "forbidden");
}

#[tokio::test]
async fn inv18_what_a_job_defers_is_judged() {
    let mut world = world().await;
    for sql in [customer("a-s2", "spread"), customer("b", "join_shop"), customer("c-s1", "spread")] {
        assert_eq!(world.ran("later", &[&sql]).await, "applied");
    }
    let members = world.db.count("shop_members").await;
    run_jobs(&world).await;
    assert_eq!(world.db.count("customers where shop_id = 's2'").await, 1);
    assert_eq!(world.db.count("customers where name = 'by a trigger'").await, 1);
    assert_eq!(world.db.count("shop_members").await, members);
    assert_eq!(world.db.count("_nizhal_jobs where status = 'dead'").await, 2);
}

both![inv41_a_job_whose_commit_is_refused_has_failed];

async fn inv41_a_job_whose_commit_is_refused_has_failed(kind: Kind) {
    let mut world = World::new(kind).await;
    world
        .db
        .execute(
            "create table parents (id text primary key); \
             create table children (id text primary key, parent text references parents (id) deferrable initially deferred)",
        )
        .await;
    let args =
        json!({"sql": ["insert into children (id, parent) values ('c', 'nobody')"]}).to_string().replace('\'', "''");
    let job = format!("insert into _nizhal_jobs (id, name, args, max_attempts) values ('j', 'work', '{args}', 1)");
    world.db.execute(&job).await;
    run_jobs(&world).await;
    assert_eq!(world.db.count("_nizhal_jobs where status = 'dead'").await, 1);
    assert_eq!(world.db.count("children").await, 0);
}
