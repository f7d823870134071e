//! Mutators that would control their transaction or their session: refused, and nothing of them stays; and constraints that are
//! checked at the commit.

use crate::fixture::{self, both, push_of};
use nizhal::prelude::*;
use nizhal::{Principal, SystemEnvironment};
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind};
use sea_orm::{ConnectionTrait, TransactionTrait};
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    note: Option<String>,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Item where Item.owner == owner;
    }
}

#[nizhal::args]
struct Put {
    client_id: String,
    /// SQL that runs after the item was put.
    sql: Vec<String>,
    /// Whether an error of that is passed over.
    goes_on: bool,
    /// Whether it runs in a part of its own, which is rolled back when it fails.
    in_a_part: bool,
}

#[mutator]
async fn put(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let owner = ctx.actor().user_id.clone();
    ItemActive { id: Set(args.client_id), owner: Set(owner), note: Set(None) }.insert(ctx.db()).await?;
    for sql in &args.sql {
        let ran = if args.in_a_part {
            let part = ctx.db().begin().await?;
            part.execute_unprepared(sql).await.map(drop)
        } else {
            ctx.db().execute_unprepared(sql).await.map(drop)
        };
        if !args.goes_on {
            ran?;
        }
    }
    Ok(Applied::done())
}

/// Keeps on which backend it ran.
#[mutator]
async fn note_backend(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let owner = ctx.actor().user_id.clone();
    ItemActive { id: Set(args.client_id.clone()), owner: Set(owner), note: Set(None) }.insert(ctx.db()).await?;
    let sql = format!("update items set note = pg_backend_pid()::text where id = '{}'", args.client_id);
    ctx.db().execute_unprepared(&sql).await?;
    Ok(Applied::done())
}

struct World {
    engine: Engine,
    db: Connection,
    database: Database,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables![Item], rules().into_inner(), mutators![put, note_backend]);
        let schema = Arc::new(schema.expect("a sound schema"));
        // One connection: what one leaves on it the next one meets.
        let store = fixture::store(&database, &schema, 1).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        let db = database.connect().await;
        Self { engine, db, database }
    }

    async fn push(&self, mutations: &[Value]) -> PushReply {
        let claims = Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() };
        self.engine.push(&Principal::new(claims, None), Wire::Two, push_of(mutations)).await
    }

    async fn ids(&mut self) -> Vec<String> {
        self.db.rows("select id from items order by id").await.into_iter().flatten().flatten().collect()
    }
}

fn put_with(id: &str, sql: &[&str], goes_on: bool) -> Value {
    let args = json!({"clientId": id, "sql": sql, "goesOn": goes_on, "inAPart": false});
    json!({"name": "put", "clientMutationId": id, "args": args})
}

fn told(reply: &PushReply) -> Vec<&'static str> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(_) => "applied",
        Verdict::Duplicate(_) => "duplicate",
        Verdict::Refused(PushError::Rejected(_)) => "rejected",
        Verdict::Refused(PushError::TransactionControl(_)) => "control",
        Verdict::Refused(_) => "refused",
        Verdict::Barred(_) => "barred",
    });
    answers.collect()
}

both![
    inv39_a_mutator_that_controls_its_transaction_is_refused,
    inv39_what_it_says_in_a_part_or_passes_over_is_refused_too,
    inv41_a_constraint_checked_at_the_commit_is_a_refusal,
    inv14_what_goes_on_after_a_failed_statement_is_judged_alike,
];

async fn inv39_a_mutator_that_controls_its_transaction_is_refused(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut statements =
        vec!["commit", "rollback", "begin", "end", "select 1; commit; begin", "release _sqlx_savepoint_1"];
    match kind {
        Kind::Postgres => statements.extend([
            "set session statement_timeout = 0",
            "set search_path = pg_catalog",
            "select set_config('search_path', 'pg_catalog', false)",
            "reset all",
            "discard all",
            "declare c cursor with hold for select 1",
            "set transaction read only",
        ]),
        Kind::Sqlite => statements.extend(["pragma foreign_keys = off", "pragma recursive_triggers = off"]),
    }
    let mut kept = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let id = |name: &str| format!("{at:02}{name}");
        for goes_on in [false, true] {
            let (before, bad, after) =
                (id(&format!("a{goes_on}")), id(&format!("b{goes_on}")), id(&format!("c{goes_on}")));
            let batch =
                [put_with(&before, &[], false), put_with(&bad, &[statement], goes_on), put_with(&after, &[], false)];
            let reply = world.push(&batch).await;
            assert_eq!(told(&reply), ["applied", "control", "applied"], "{statement}: {:?}", reply.fault);
            assert_eq!(told(&world.push(&batch[1..2]).await), ["control"], "it is stored: {statement}");
            kept.extend([before, after]);
        }
    }
    kept.sort();
    assert_eq!(world.ids().await, kept);
    let refused = "_nizhal_mutations where status = 'transaction_control'";
    assert_eq!(world.db.count(refused).await, 2 * statements.len() as u64);
}

async fn inv39_what_it_says_in_a_part_or_passes_over_is_refused_too(kind: Kind) {
    let mut world = World::new(kind).await;
    let args = json!({"clientId": "a", "sql": ["commit"], "goesOn": true, "inAPart": true});
    let reply = world.push(&[json!({"name": "put", "clientMutationId": "a", "args": args})]).await;
    assert_eq!(told(&reply), ["control"]);
    assert_eq!(world.ids().await, [""; 0]);
}

/// The connection that it ran on is closed, also though nothing came of it.
#[tokio::test]
async fn inv39_its_connection_is_closed() {
    let mut world = World::new(Kind::Postgres).await;
    let note = |id: &str| {
        let args = json!({"clientId": id, "sql": [], "goesOn": false, "inAPart": false});
        json!({"name": "noteBackend", "clientMutationId": id, "args": args})
    };
    assert_eq!(told(&world.push(&[note("a")]).await), ["applied"]);
    assert_eq!(told(&world.push(&[note("b")]).await), ["applied"]);
    assert_eq!(told(&world.push(&[put_with("c", &["commit"], false)]).await), ["control"]);
    assert_eq!(told(&world.push(&[note("d")]).await), ["applied"]);
    let backends = world.db.rows("select note from items order by id").await;
    assert_eq!(backends[0], backends[1], "one connection serves all");
    assert_ne!(backends[1], backends[2], "but for the one that was spoiled");
}

async fn inv41_a_constraint_checked_at_the_commit_is_a_refusal(kind: Kind) {
    let mut world = World::new(kind).await;
    let mut owner = world.database.connect().await;
    owner.execute("create table parents (id text primary key)").await;
    owner
        .execute("create table children (id text primary key, parent text references parents (id) deferrable initially deferred)")
        .await;
    let broken = "insert into children (id, parent) values ('x', 'nobody')";
    for _ in 0..2 {
        let (good, bad) = ([put_with("a", &[], false)], [put_with("b", &[broken], false)]);
        let (good, bad) = tokio::join!(world.push(&good), world.push(&bad));
        assert!(["applied", "duplicate"].contains(&told(&good)[0]), "{:?}", good.fault);
        assert_eq!(told(&bad), ["rejected"], "{:?}", bad.fault);
    }
    assert_eq!(told(&world.push(&[put_with("c", &[], false)]).await), ["applied"]);
    assert_eq!(world.ids().await, ["a", "c"]);
    assert_eq!(world.db.count("children").await, 0);
}

async fn inv14_what_goes_on_after_a_failed_statement_is_judged_alike(kind: Kind) {
    let mut world = World::new(kind).await;
    let twice = "insert into items (id, owner) values ('a', 'ann')";
    let mut statements = vec![(twice, true)];
    if kind == Kind::Sqlite {
        // SQLite ends the whole transaction by itself, with whoever shares it.
        statements.push(("insert or rollback into items (id, owner) values ('a', 'ann')", false));
    }
    assert_eq!(told(&world.push(&[put_with("a", &[], false)]).await), ["applied"]);
    let mut kept = vec!["a".to_owned()];
    for (at, (statement, may_go_on)) in statements.into_iter().enumerate() {
        for goes_on in [false, true] {
            let (bad, good) = (format!("b{at}{goes_on}"), format!("c{at}{goes_on}"));
            let sql = [statement, "update items set note = 'x' where id = 'a'"];
            let (one, other) = ([put_with(&bad, &sql, goes_on)], [put_with(&good, &[], false)]);
            let (one, other) = tokio::join!(world.push(&one), world.push(&other));
            let wanted = if goes_on && may_go_on { "applied" } else { "rejected" };
            assert_eq!(told(&one), [wanted], "{statement}: {:?}", one.fault);
            assert_eq!(told(&other), ["applied"], "{statement}: {:?}", other.fault);
            kept.extend((goes_on && may_go_on).then_some(bad));
            kept.push(good);
        }
    }
    kept.sort();
    assert_eq!(world.ids().await, kept);
    assert_eq!(world.db.count("items where note is not null").await, 1);
}
