//! Invariant 28: a row is no larger than devices are sent, whatever statement wrote it; what other programs write is delivered.

use crate::fixture::{self, both, push_of};
use nizhal::prelude::*;
use nizhal::{Principal, SystemEnvironment};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_runtime::settings::StorageSettings;
use nizhal_runtime::{JobEnd, run_next_job};
use nizhal_tests::{Connection, Database, Kind};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::sync::Arc;

/// The most that a row of the tests may have.
const LIMIT: usize = 100_000;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "papers")]
struct Paper {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    draft: bool,
    body: Option<String>,
    data: Option<Json>,
    bytes: Option<Vec<u8>>,
    #[nizhal(private)]
    secret: Option<String>,
}

/// One that merges by column.
#[nizhal::table(name = "sheets", merge = "field")]
struct Sheet {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    body: Option<String>,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Paper where Paper.owner == owner && Paper.draft == false;
        Sheet where Sheet.owner == owner;
    }
}

#[nizhal::args]
struct Run {
    sql: Vec<String>,
}

#[mutator]
async fn run(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

#[nizhal::args]
struct Put {
    id: String,
    length: usize,
}

/// By the ORM.
#[mutator]
async fn put(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let (owner, body) = (ctx.actor().user_id.clone(), Some("x".repeat(args.length)));
    let paper =
        PaperActive { id: Set(args.id), owner: Set(owner), draft: Set(false), body: Set(body), ..Default::default() };
    paper.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// By a job, with what a mutation wants.
#[nizhal::job(attempts = 1)]
async fn grow(ctx: &mut JobCtx, args: Put) -> Result<()> {
    let (owner, body) = ("ann".to_owned(), Some("x".repeat(args.length)));
    let paper =
        PaperActive { id: Set(args.id), owner: Set(owner), draft: Set(false), body: Set(body), ..Default::default() };
    paper.insert(ctx.db()).await?;
    Ok(())
}

#[mutator]
async fn plan(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    ctx.jobs().enqueue(grow, args)?;
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
        let schema = Schema::new(tables![Paper, Sheet], rules().into_inner(), mutators![run, put, plan]);
        let schema = schema.and_then(|schema| schema.with_jobs(jobs![grow]));
        let schema = Arc::new(schema.expect("a sound schema"));
        let store = fixture::store(&database, &schema, 2).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        let storage = StorageSettings { max_row_bytes: LIMIT, ..StorageSettings::default() };
        let engine = engine.with_storage(&storage);
        let mut db = database.connect().await;
        for table in ["papers (id, owner, draft)", "sheets (id, owner)"] {
            let draft = if table.contains("draft") { ", false" } else { "" };
            db.execute(&format!("insert into {table} values ('a', 'ann'{draft}), ('b', 'ann'{draft})")).await;
        }
        Self { engine, db, database }
    }

    fn ann() -> Principal {
        Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
    }

    async fn push(&self, mutations: &[Value]) -> PushReply {
        self.engine.push(&Self::ann(), Wire::Two, push_of(mutations)).await
    }

    /// What becomes of these statements as one mutation.
    async fn tried(&self, id: &str, sql: &[&str]) -> String {
        told(&self.push(&[mutation(id, "run", &json!({"sql": sql}))]).await).remove(0)
    }

    /// A text of so many bytes, as SQL.
    fn long(&self, text: &str, count: usize) -> String {
        match self.database.kind() {
            Kind::Postgres => format!("repeat('{text}', {count})"),
            Kind::Sqlite => format!("replace(hex(zeroblob({count})), '00', '{text}')"),
        }
    }

    /// The sizes of the rows that ann is sent, by their ids.
    async fn sizes(&self) -> Vec<(String, usize)> {
        let request: PullRequest = serde_json::from_value(json!({"limit": 1000})).expect("a pull");
        let page = self.engine.pull(&Self::ann(), Wire::Two, request).await.expect("an answer");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        let rows = body["changed"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|batch| batch["rows"].as_array().into_iter().flatten());
        rows.map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row.to_string().len())).collect()
    }
}

fn mutation(id: &str, name: &str, args: &Value) -> Value {
    json!({"name": name, "clientMutationId": id, "args": args})
}

fn told(reply: &PushReply) -> Vec<String> {
    assert!(reply.fault.is_none(), "{:?}", reply.fault);
    let told = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Refused(PushError::RowTooLarge(reason)) => format!("too large: {reason}"),
        Verdict::Applied(_) => "applied".to_owned(),
        other => format!("{other:?}"),
    });
    told.collect()
}

both![
    inv28_a_row_larger_than_the_limit_is_refused_for_good,
    inv28_whatever_is_in_it_counts_as_it_is_sent,
    inv28_any_statement_is_seen,
    inv28_what_no_device_is_sent_is_not_counted,
    inv16_in_a_batch_it_is_refused_alone,
    inv28_a_job_leaves_none_whatever_bounds_it,
    inv01_what_another_program_writes_is_delivered,
];

async fn inv28_a_row_larger_than_the_limit_is_refused_for_good(kind: Kind) {
    let mut world = World::new(kind).await;
    let large = mutation("m1", "put", &json!({"id": "large", "length": LIMIT}));
    let first = told(&world.push(std::slice::from_ref(&large)).await).remove(0);
    assert!(first.starts_with("too large: a row of `papers` has 100"), "{first}");
    assert!(first.contains("100000 are the most (NIZHAL_MAX_ROW_BYTES)"), "{first}");
    assert_eq!(told(&world.push(&[large]).await), [first], "a replay is answered as the first was");
    assert_eq!(world.db.count("papers where id = 'large'").await, 0);
    assert_eq!(world.db.count("_nizhal_mutations where status = 'row_too_large'").await, 1);
    let fits = mutation("m2", "put", &json!({"id": "fits", "length": LIMIT - 1_000}));
    assert_eq!(told(&world.push(&[fits]).await), ["applied"]);
    let sizes = world.sizes().await;
    let (_, size) = sizes.iter().find(|(id, _)| id == "fits").expect("it is delivered");
    assert!((LIMIT - 1_000..LIMIT).contains(size), "{size}");
}

async fn inv28_whatever_is_in_it_counts_as_it_is_sent(kind: Kind) {
    let world = World::new(kind).await;
    let json = |count: usize| match kind {
        Kind::Postgres => format!("('[' || {} || '0]')::jsonb", world.long("1.50,", count)),
        Kind::Sqlite => format!("'[' || {} || '0]'", world.long("1.50,", count)),
    };
    let bytes = |count: usize| match kind {
        Kind::Postgres => format!("decode({}, 'hex')", world.long("ab", count)),
        Kind::Sqlite => format!("zeroblob({count})"),
    };
    let newline = if kind == Kind::Postgres { "' || chr(10) || '" } else { "' || char(10) || '" };
    // Of each what takes four fifths of the limit on the wire, and twelve tenths.
    for (column, fits, large) in [
        ("body", world.long("é", 40_000), world.long("é", 60_000)),
        ("body", world.long("\"", 40_000), world.long("\"", 60_000)),
        ("body", world.long(newline, 40_000), world.long(newline, 60_000)),
        ("data", json(13_000), json(24_000)),
        ("bytes", bytes(60_000), bytes(90_000)),
    ] {
        let set = |value: &str| {
            format!("update papers set body = null, data = null, bytes = null, {column} = {value} where id = 'a'")
        };
        let set = |value: &str| set(value).replace(&format!("{column} = null, "), "");
        let tried = world.tried(&format!("large {large}"), &[&set(&large)]).await;
        assert!(tried.starts_with("too large"), "{large}: {tried}");
        assert_eq!(world.tried(&format!("fits {fits}"), &[&set(&fits)]).await, "applied", "{fits}");
        let size = world.sizes().await.iter().find(|(id, _)| id == "a").expect("it is delivered").1;
        assert!((LIMIT / 2..LIMIT).contains(&size), "{fits}: {size}");
    }
}

async fn inv28_any_statement_is_seen(kind: Kind) {
    let mut world = World::new(kind).await;
    let long = world.long("x", LIMIT);
    let half = world.long("x", LIMIT / 2 + 1_000);
    let many = format!("update papers set body = {long}");
    let copies = format!(
        "insert into papers (id, owner, draft, body) select 'copy of ' || id, owner, false, {long} from papers"
    );
    let grows = format!("update papers set body = coalesce(body, '') || {half} where id = 'a'");
    let upsert = format!(
        "insert into papers (id, owner, draft) values ('a', 'ann', false) on conflict (id) do update set body = {long}"
    );
    let merged = format!("update sheets set body = {long} where id = 'a'");
    let inserted = format!("insert into sheets (id, owner, body) values ('c', 'ann', {long})");
    for (id, sql) in [
        ("many", &[many.as_str()][..]),
        ("copies", &[&copies]),
        ("grows", &[&grows, &grows]),
        ("upsert", &[&upsert]),
        ("merged", &[&merged]),
        ("inserted", &[&inserted]),
    ] {
        let tried = world.tried(id, sql).await;
        assert!(tried.starts_with("too large"), "{id}: {tried}");
    }
    assert_eq!(world.db.count("papers where body is not null").await, 0);
    assert_eq!(world.db.count("sheets where body is not null").await, 0);
    assert_eq!(world.tried("once", &[&grows]).await, "applied");
    // Of a table that is another's, the write scope says no.
    let foreign = format!("insert into papers (id, owner, draft, body) values ('f', 'cem', false, {long})");
    assert_eq!(world.tried("foreign", &[&foreign]).await, "Refused(Forbidden)");
}

async fn inv28_what_no_device_is_sent_is_not_counted(kind: Kind) {
    let world = World::new(kind).await;
    let long = world.long("x", LIMIT);
    for (id, set) in [
        ("private", format!("secret = {long}")),
        ("hidden", format!("draft = true, body = {long}")),
        ("deleted", format!("draft = false, deleted_at = current_timestamp, body = {long}")),
    ] {
        let sql = format!("update papers set {set} where id = 'a'");
        assert_eq!(world.tried(id, &[&sql]).await, "applied", "{id}");
    }
    let shown = world.tried("shown", &["update papers set deleted_at = null where id = 'a'"]).await;
    assert!(shown.starts_with("too large"), "{shown}");
    assert_eq!(world.tried("gone", &["delete from papers where id = 'a'"]).await, "applied");
}

async fn inv16_in_a_batch_it_is_refused_alone(kind: Kind) {
    let world = World::new(kind).await;
    let put = |id: &str, length: usize| mutation(id, "put", &json!({"id": id, "length": length}));
    let reply = world.push(&[put("m1", 10), put("m2", LIMIT), put("m3", 70_000)]).await;
    let told = told(&reply);
    assert_eq!((told[0].as_str(), told[2].as_str()), ("applied", "applied"));
    assert!(told[1].starts_with("too large"), "{told:?}");
}

async fn inv28_a_job_leaves_none_whatever_bounds_it(kind: Kind) {
    let mut world = World::new(kind).await;
    for bounded in [true, false] {
        for (length, end) in [(LIMIT, JobEnd::Dead), (LIMIT / 2, JobEnd::Done)] {
            let id = format!("{bounded}-{length}");
            let wanted = mutation(&id, "plan", &json!({"id": id, "length": length}));
            assert_eq!(told(&world.push(&[wanted]).await), ["applied"]);
            if !bounded {
                // As a job is that an older version of the server wrote.
                world.db.execute("update _nizhal_jobs set buckets = null where status = 'pending'").await;
            }
            let due = DateTimeUtc::from(std::time::SystemTime::now()) + TimeDelta::days(1);
            assert_eq!(run_next_job(&world.engine, due).await.expect("a run"), Some(end), "{id}");
            let kept = world.db.count(&format!("papers where id = '{id}'")).await;
            assert_eq!(kept, u64::from(end == JobEnd::Done), "{id}");
        }
    }
}

async fn inv01_what_another_program_writes_is_delivered(kind: Kind) {
    let mut world = World::new(kind).await;
    let sql = format!("update papers set body = {} where id = 'a'", world.long("x", 3 * LIMIT));
    world.db.execute(&sql).await;
    let size = |sizes: Vec<(String, usize)>| sizes.into_iter().find(|(id, _)| id == "a").expect("it is delivered").1;
    assert!(size(world.sizes().await) > 3 * LIMIT);
    // Who writes others meanwhile is not told of it.
    assert_eq!(world.tried("other", &["update papers set body = 'x' where id = 'b'"]).await, "applied");
    assert_eq!(world.tried("shorter", &["update papers set body = 'x' where id = 'a'"]).await, "applied");
    assert!(size(world.sizes().await) < 1_000);
}
