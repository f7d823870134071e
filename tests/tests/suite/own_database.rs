//! A database that others made and others write: it is checked as it is, and what it holds is delivered as it is declared.

mod applied;
mod bookkeeping;
mod changed;
mod displaced;
mod durable;
mod enumerated;
mod granted;
mod keyless;
mod lists;
mod outside;
mod partition;
mod partition_off;
mod streamed;
mod typescript;
mod unreadable;
mod versions;

use crate::fixture::{engine, push_of, store};
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Address, Connection, Database, Device, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "things")]
struct Thing {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    count: i32,
    due: Option<DateTimeUtc>,
    #[nizhal(unique)]
    code: Option<String>,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; Thing where Thing.owner == owner; }
}

#[nizhal::table(name = "events")]
struct Event {
    #[nizhal(primary_key)]
    id: String,
    #[nizhal(primary_key)]
    year: i32,
    owner: String,
}

sync_rules! {
    event_rules for Claims;
    rule mine(owner) { owner = actor.user_id; Event where Event.owner == owner; }
}

/// What to run.
#[nizhal::args]
struct Sql {
    sql: String,
}

#[mutator]
async fn run(ctx: &mut Ctx<Claims>, args: Sql) -> Result<Applied> {
    ctx.db().execute_unprepared(&args.sql).await?;
    Ok(Applied::done())
}

fn things() -> Schema {
    Schema::new(tables![Thing], rules().into_inner(), mutators![run]).expect("a sound schema")
}

fn events() -> Schema {
    Schema::new(tables![Event], event_rules().into_inner(), mutators![run]).expect("a sound schema")
}

fn ann() -> Principal {
    Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None)
}

fn device() -> Device {
    Device::new(&Address::default(), "d", "t").wire_two().key("events", &["id", "year"])
}

async fn pull(engine: &Engine, device: &mut Device) {
    loop {
        let request: PullRequest =
            serde_json::from_value(json!({"cursor": device.cursor, "limit": 3})).expect("a pull");
        let page = engine.pull(&ann(), Wire::Two, request).await.expect("an answer");
        if !device.apply(&serde_json::from_slice::<Value>(&page.body).expect("JSON")).has_more {
            return;
        }
    }
}

async fn push(engine: &Engine, sql: &str) -> String {
    let push = push_of(&[json!({"name": "run", "args": {"sql": sql}, "clientMutationId": Uuid::now_v7()})]);
    format!("{:?}", engine.push(&ann(), Wire::Two, push).await)
}

/// What the start says of a table that was made so.
async fn told(kind: Kind, before: &str) -> String {
    let database = Database::new(kind).await;
    database.connect().await.execute(before).await;
    let error = store(&database, &Arc::new(things()), 2).await.plan().await.expect_err("refused");
    error.to_string()
}

fn made(columns: &str) -> String {
    format!("create table things ({columns})")
}

const SOUND: &str =
    "id text primary key, owner text not null, count integer not null, due timestamptz, code text unique";

#[tokio::test]
async fn inv40_what_postgres_does_not_hold_is_named_at_the_start() {
    let with = |from: &str, to: &str| made(&SOUND.replace(from, to));
    for (before, wanted) in [
        (with("count integer", "count bigint"), "column `count` is of type bigint, and declared as integer"),
        (with("count integer", "count money"), "column `count` is of type money, and declared as integer"),
        (with("due timestamptz", "due timestamp"), "column `due` is of type timestamp without time zone"),
        (with("owner text", "owner char(9)"), "column `owner` is of type character(9), and declared as text"),
        (
            format!("create domain odd as point; {}", with("count integer", "count odd")),
            "column `count` is of type odd, and declared as integer",
        ),
        (
            with("owner text not null", "owner text"),
            "column `owner` may be NULL, and the field is no Option: alter table",
        ),
        (with("due timestamptz", "due timestamptz not null"), "column `due` is not null, and the field is an Option"),
        (with("code text unique", "code text"), "nothing keeps (\"code\") unique, as is declared: create unique index"),
        (with("id text primary key", "id text not null"), "nothing keeps (\"id\") unique"),
        (
            with("count integer not null", "count integer not null generated always as identity"),
            "column `count` cannot be written, since the database numbers it always",
        ),
        (
            with("count integer not null", "count integer not null generated always as (1) stored"),
            "column `count` cannot be written, since the database generates it",
        ),
        (
            format!("{}, old_name text not null)", made(SOUND).trim_end_matches(')')),
            "column `old_name` is not null and has no default, and no field stands for it",
        ),
        (
            format!(
                "create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); {}",
                with("owner text", "owner text collate ci")
            ),
            "column `owner` is part of a key or names buckets, and its type or collation takes different texts for equal",
        ),
        (made(SOUND).replace("create table", "create unlogged table"), "it is unlogged"),
        (
            format!("{}; alter table things rename to t; create view things as select * from t", made(SOUND)),
            "it is a view",
        ),
        (format!("{}; create table more () inherits (things)", made(SOUND)), "other tables inherit from it"),
    ] {
        let error = told(Kind::Postgres, &before).await;
        assert!(error.contains(wanted) && error.contains("table `things`"), "{before}\n{error}");
    }
    // All together.
    let error = told(Kind::Postgres, &with("owner text not null, count integer", "owner text, count money")).await;
    assert!(error.contains("`owner` may be NULL") && error.contains("money"), "{error}");
}

#[tokio::test]
async fn inv40_domains_are_delivered_as_what_they_are_made_of() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create domain amount as integer check (value >= 0); create domain small_amount as amount; create domain moment as timestamptz; \
         create domain label as text not null",
    )
    .await;
    db.execute(&made(
        "id label primary key, owner varchar(40) not null, count small_amount not null, due moment, code text unique",
    ))
    .await;
    let engine = engine(&database, things()).await;
    let applied = push(&engine, "insert into things values ('a', 'ann', 65, '2026-01-02T03:04:05Z', null)").await;
    assert!(applied.contains("Applied"), "{applied}");
    let mut device = device();
    pull(&engine, &mut device).await;
    let row = &device.rows[&("things".to_owned(), "a".to_owned())];
    assert_eq!((&row["count"], &row["due"]), (&json!(65), &json!("2026-01-02T03:04:05.000000Z")), "{row}");
    db.execute("delete from things").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), Vec::<String>::new());
}

/// Partitions are written through their parent and straight, and made, attached and moved between while the server runs.
#[tokio::test]
async fn inv01_inv18_rows_are_watched_where_they_live() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table events (id text, year integer, owner text not null, primary key (id, year)) partition by list (year); \
         create table events_1 partition of events for values in (1); \
         create table events_2 partition of events for values in (2) partition by list (id); \
         create table events_2_rest partition of events_2 default",
    )
    .await;
    let engine = engine(&database, events()).await;
    db.execute("insert into events values ('a', 1, 'ann'), ('b', 2, 'ann'), ('c', 1, 'ben')").await;
    db.execute("insert into events_1 values ('d', 1, 'ann'); insert into events_2_rest values ('e', 2, 'ann')").await;
    db.execute(
        "create table events_3 partition of events for values in (3); insert into events_3 values ('f', 3, 'ann')",
    )
    .await;
    db.execute("create table other (like events including all)").await;
    db.execute("alter table events attach partition other for values in (4)").await;
    db.execute("insert into other (id, year, owner) values ('g', 4, 'ann')").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    let ids = |ids: &[(&str, i32)]| -> Vec<String> {
        ids.iter().map(|(id, year)| json!([id, year.to_string()]).to_string()).collect()
    };
    let all = [("a", 1), ("b", 2), ("d", 1), ("e", 2), ("f", 3), ("g", 4)];
    assert_eq!(device.ids("events"), ids(&all));

    db.execute("delete from events_1 where id = 'd'; update events_2_rest set owner = 'ben' where id = 'e'").await;
    db.execute(
        "delete from events_3; update events set year = 1 where id = 'b'; update other set id = 'h' where id = 'g'",
    )
    .await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events"), ids(&[("a", 1), ("b", 1), ("h", 4)]));

    for sql in [
        "update events_1 set owner = 'ann' where id = 'c'",
        "insert into other (id, year, owner) values ('x', 4, 'ben')",
    ] {
        let refused = push(&engine, sql).await;
        assert!(refused.contains("Forbidden"), "{sql}: {refused}");
    }
    let applied = push(&engine, "insert into other (id, year, owner) values ('i', 4, 'ann')").await;
    assert!(applied.contains("Applied"), "{applied}");

    let other = store(&database, &Arc::new(events()), 2).await;
    other.provision().await.expect("provisioned");
    assert!(!other.check_partitions().await.expect("checked"), "all are there");
    db.execute("insert into events_3 values ('t', 3, 'ann')").await;
    pull(&engine, &mut device).await;
    db.execute("truncate events_3").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events"), ids(&[("a", 1), ("b", 1), ("h", 4), ("i", 4)]));
    // What a partition takes along when it goes, the next check tells: devices start again.
    db.execute("alter table events detach partition other").await;
    assert!(other.check_partitions().await.expect("checked"), "one is gone");
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events"), ids(&[("a", 1), ("b", 1)]));
    db.execute("drop table events_1").await;
    assert!(other.check_partitions().await.expect("checked"), "another is gone");
    assert!(!other.check_partitions().await.expect("checked"), "told once");
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("events"), Vec::<String>::new());
}

/// As a role that was granted the table alone.
async fn as_writer(database: &Database, db: &mut Connection, table: &str) -> Connection {
    let role = format!("writer_{}", Uuid::now_v7().simple());
    db.execute(&format!(
        "create role {role}; grant usage on schema public to {role}; grant select, insert, update, delete, truncate on {table} to {role}"
    ))
    .await;
    let mut writer = database.connect().await;
    writer.execute(&format!("set role {role}")).await;
    writer
}

#[tokio::test]
async fn inv01_every_role_that_may_write_a_table_is_heard() {
    let database = Database::new(Kind::Postgres).await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    let mut writer = as_writer(&database, &mut db, "things").await;
    // Nothing of its own stands in for a function of ours.
    writer.execute("set search_path = pg_temp, public; create function pg_temp.now() returns timestamptz language sql as 'select null::timestamptz'").await;
    writer
        .execute(
            "insert into public.things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1), ('c', 'ben', 1)",
        )
        .await;
    writer
        .execute("update public.things set owner = 'ann' where id = 'c'; delete from public.things where id = 'a'")
        .await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b", "c"]);
    writer.execute("truncate public.things").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), Vec::<String>::new());
}

#[tokio::test]
async fn inv40_a_schema_may_be_called_anything() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let name = db.text("select current_database()::text").await;
    db.execute(r#"create schema "My ""App'$nizhal""#).await;
    db.execute(&format!(r#"alter database {name} set search_path = "My ""App'$nizhal""#)).await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 2); delete from things where id = 'a'").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b"]);
}

#[tokio::test]
async fn inv40_a_trigger_that_was_switched_off_is_switched_on() {
    let database = Database::new(Kind::Postgres).await;
    engine(&database, things()).await;
    database.connect().await.execute("alter table things disable trigger all").await;
    let other = store(&database, &Arc::new(things()), 2).await;
    assert!(!other.plan().await.expect("a plan").is_empty(), "it is told");
    other.provision().await.expect("provisioned");
    assert_eq!(other.plan().await.expect("a plan"), Vec::<String>::new());
}

/// Buckets by the thousand in one transaction, in one statement and row by row, with savepoints: the write set is whole.
#[tokio::test]
async fn inv18_a_write_set_of_any_size_is_whole() {
    let database = Database::new(Kind::Postgres).await;
    let engine = engine(&database, things()).await;
    let many = "insert into things (id, owner, count) select 'x' || i, 'ann', 1 from generate_series(1, 3000) i; \
        update things set owner = 'bucket ' || id where owner = 'ann'";
    let refused = push(&engine, many).await;
    assert!(refused.contains("Forbidden"), "{refused}");
    let one_by_one = |last: &str| {
        format!(
            "do $$ begin for i in 1..3000 loop insert into things (id, owner, count) values ('y' || i, 'zed ' || i, 1); \
             begin insert into things (id, owner, count) values ('s' || i, 'gone ' || i, 1); raise exception 'no'; exception when others then null; end; \
             delete from things where id = 'y' || i; end loop; {last} end $$"
        )
    };
    let refused = push(&engine, &one_by_one("")).await;
    assert!(refused.contains("Forbidden"), "{refused}");

    let mut db = database.connect().await;
    db.execute("begin").await;
    db.execute(&one_by_one("update things set count = 2;")).await;
    let mut lines =
        db.rows("select unnest(string_to_array(rtrim(_nizhal_written(), E'\\n'), E'\\n')) order by 1").await;
    lines.dedup();
    // What says that it spilled, and that all of it was found.
    lines.retain(|line| !matches!(line[0].as_deref(), Some("~" | "=")));
    assert_eq!(lines.len(), 3000, "what a savepoint took back is not in it: {:?}", lines.first());
    db.execute("rollback").await;
}

#[nizhal::table(name = "marks")]
struct Mark {
    #[nizhal(primary_key)]
    id: Uuid,
    owner: String,
    rowid: i32,
}

sync_rules! {
    mark_rules for Claims;
    rule mine(owner) { owner = actor.user_id; Mark where Mark.owner == owner; }
}

fn marks() -> Schema {
    Schema::new(tables![Mark], mark_rules().into_inner(), mutators![run]).expect("a sound schema")
}

#[tokio::test]
async fn inv40_what_sqlite_does_not_hold_is_named_at_the_start() {
    let sound = "id text not null primary key, owner text not null, count integer not null, due text, code text unique";
    let with = |from: &str, to: &str| made(&sound.replace(from, to));
    for (before, wanted) in [
        (with("owner text", "owner decimal"), "column `owner` is of type \"decimal\", and declared as text"),
        (with("count integer", "count text"), "column `count` is of type \"TEXT\", and declared as integer"),
        (with("owner text not null", "owner text"), "column `owner` may be NULL, and the field is no Option"),
        (with("due text", "due text not null"), "column `due` is not null, and the field is an Option"),
        (with("code text unique", "code text"), "nothing keeps (\"code\") unique, as is declared"),
        (with("id text not null primary key", "id text not null"), "nothing keeps (\"id\") unique"),
        (with("count integer not null", "count integer not null as (1)"), "column `count` cannot be written"),
        (with("code text", "old_name text not null, code text"), "column `old_name` is not null and has no default"),
        (with("owner text", "owner text collate nocase"), "its collation takes different texts for equal"),
        (with("id text", "id text collate rtrim"), "its collation takes different texts for equal"),
        (
            format!("{}; create unique index by_name on things (owner, lower(code))", made(sound)),
            "the unique index \"by_name\" is on an expression",
        ),
        (made(sound) + " without rowid", "it is WITHOUT ROWID"),
        (
            format!("{}; alter table things rename to t; create view things as select * from t", made(sound)),
            "it is a view",
        ),
    ] {
        let error = told(Kind::Sqlite, &before).await;
        assert!(error.contains(wanted) && error.contains("table `things`"), "{before}\n{error}");
    }
    let database = Database::new(Kind::Sqlite).await;
    database.connect().await.execute(&made(sound)).await;
    engine(&database, things()).await;
}

/// As the `sqlite3` program does it, which does not have delete triggers run for what `replace` takes away.
#[tokio::test]
async fn inv01_what_another_program_replaces_leaves_the_device() {
    let database = Database::new(Kind::Sqlite).await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    db.execute("insert into things (id, owner, count, code) values ('a', 'ann', 1, 'x'), ('b', 'ann', 1, 'y'), ('c', 'ann', 1, null), ('d', 'ann', 1, 'w')").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b", "c", "d"]);
    // By its key into another bucket; by its code, so that another row goes; and one that stays.
    db.execute("replace into things (id, owner, count, code) values ('a', 'ben', 2, 'x')").await;
    db.execute(
        "insert or replace into things (id, owner, count, code) values ('e', 'ann', 2, 'y'), ('c', 'ann', 2, null)",
    )
    .await;
    db.execute("update or replace things set code = 'w' where id = 'c'").await;
    db.execute("insert into things (id, owner, count) values ('c', 'ann', 1) on conflict (id) do update set count = 3")
        .await;
    db.execute("insert or ignore into things (id, owner, count) values ('e', 'ann', 9)").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["c", "e"]);
    assert_eq!(device.rows[&("things".to_owned(), "c".to_owned())]["count"], json!(3));
    assert_eq!(device.rows[&("things".to_owned(), "e".to_owned())]["count"], json!(2));
}

/// An index may compare otherwise than its column does, and by a column that the file computes.
#[tokio::test]
async fn inv01_what_another_program_replaces_by_an_index_of_its_own_leaves_the_device() {
    let database = Database::new(Kind::Sqlite).await;
    let mut db = database.connect().await;
    db.execute(
        "create table things (id text not null primary key, owner text not null, count integer not null, due text, code text unique, \
         short text as (substr(code, 1, 2)) virtual); \
         create unique index folded on things (code collate nocase); create unique index shortened on things (short); \
         create unique index counted on things (count) where count > 10",
    )
    .await;
    let engine = engine(&database, things()).await;
    db.execute(
        "insert into things (id, owner, count, code) values ('a', 'ann', 1, 'Xa'), ('b', 'ann', 1, 'ya'), ('c', 'ann', 11, null), \
         ('d', 'ann', 1, 'zz')",
    )
    .await;
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b", "c", "d"]);
    db.execute(
        "insert or replace into things (id, owner, count, code) values ('e', 'ann', 2, 'xA'), ('f', 'ann', 2, 'yab'), ('g', 'ann', 11, null)",
    )
    .await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["d", "e", "f", "g"]);
    db.execute("update or replace things set code = 'YAB' where id = 'd'").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["d", "e", "g"]);
}

/// Who writes all columns of a row writes the engine's too, and is seen as anybody is.
#[tokio::test]
async fn inv01_inv18_a_write_that_names_the_version_is_seen() {
    let database = Database::new(Kind::Sqlite).await;
    let engine = engine(&database, things()).await;
    let mut db = database.connect().await;
    db.execute("insert into things (id, owner, count) values ('a', 'ann', 1), ('b', 'ann', 1), ('c', 'ben', 1)").await;
    let mut device = device();
    pull(&engine, &mut device).await;
    for (at, version) in
        ["_nizhal_version + 7", "0", "9999999", "-_nizhal_version", "(select clock + 1 from _nizhal_control)"]
            .into_iter()
            .enumerate()
    {
        let foreign = [
            format!("update things set owner = 'ann', _nizhal_version = {version} where id = 'c'"),
            format!("update things set owner = 'ben', _nizhal_version = {version} where id = 'a'"),
            format!("update things set _nizhal_version = {version} where id = 'c'"),
            "update things set count = 9, _nizhal_version = (select txn from _nizhal_control) where id = 'c'"
                .to_owned(),
        ];
        for sql in foreign {
            let refused = push(&engine, &sql).await;
            // What reads the engine's own table is refused before it runs.
            let is_refused = refused.contains("Forbidden") || refused.contains("TransactionControl");
            assert!(is_refused && !refused.contains("Applied"), "{sql}: {refused}");
        }
        let count = at + 10;
        db.execute(&format!("update things set count = {count}, _nizhal_version = {version} where id = 'a'")).await;
        db.execute(&format!("update things set _nizhal_version = {version} where id = 'b'")).await;
        pull(&engine, &mut device).await;
        assert_eq!(device.row("things", "a").map(|row| row["count"].clone()), Some(json!(count)), "{version}");
        db.execute(&format!("update things set owner = 'ben', _nizhal_version = {version} where id = 'b'")).await;
        pull(&engine, &mut device).await;
        assert_eq!(device.ids("things"), ["a"], "{version}");
        db.execute("update things set owner = 'ann' where id = 'b'").await;
        pull(&engine, &mut device).await;
        let mut fresh = self::device();
        pull(&engine, &mut fresh).await;
        assert_eq!(fresh.ids("things"), ["a", "b"], "{version}");
    }
}

#[tokio::test]
async fn inv01_a_column_may_be_called_rowid_and_a_uuid_is_no_text() {
    let database = Database::new(Kind::Sqlite).await;
    let mut db = database.connect().await;
    let id = "0190b0a0-0000-7000-8000-00000000000";
    // Written by another program before there was a server.
    db.execute(&format!(
        "create table marks (id uuid_text not null primary key, owner text not null, rowid integer not null); \
         insert into marks values ('{id}1', 'ann', 7)"
    ))
    .await;
    let engine = engine(&database, marks()).await;
    let applied = push(
        &engine,
        &format!("insert into marks (id, owner, rowid) values (unhex(replace('{id}2', '-', '')), 'ann', 7)"),
    )
    .await;
    assert!(applied.contains("Applied"), "{applied}");
    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("marks"), [format!("{id}1"), format!("{id}2")]);
    db.execute("delete from marks where rowid = 7").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("marks"), Vec::<String>::new());
    let error = db.try_execute(&format!("insert into marks (id, owner, rowid) values ('{id}3', 'ann', 1)")).await;
    let error = error.expect_err("refused").to_string();
    assert!(error.contains("marks.id holds a UUID as 16 bytes: write unhex("), "{error}");
}

#[nizhal::table(name = "values_of")]
struct ValueOf {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    due: DateTimeUtc,
    number: f64,
    day: Option<Date>,
}

sync_rules! {
    value_rules for Claims;
    rule mine(owner) { owner = actor.user_id; ValueOf where ValueOf.owner == owner; }
}

/// One value that nobody can read is that row's trouble: the others come, and the device is told of this one.
async fn inv40_an_unreadable_value_is_its_rows_own_trouble(kind: Kind, values: &[&str]) {
    let database = Database::new(kind).await;
    let schema = Schema::new(tables![ValueOf], value_rules().into_inner(), Vec::new()).expect("a sound schema");
    let engine = engine(&database, schema).await;
    let mut db = database.connect().await;
    let insert = "insert into values_of (id, owner, due, number, day) values";
    for (at, values) in values.iter().enumerate() {
        db.execute(&format!("{insert} ('bad{at}', 'ann', '2026-01-02T03:04:05+00:00', 1, null)")).await;
        db.execute(&format!("{insert} ('good{at}', 'ann', '2026-01-02T03:04:05+00:00', {at}, null)")).await;
        let mut device = device();
        pull(&engine, &mut device).await;
        assert!(device.ids("values_of").contains(&format!("bad{at}").as_str()));
        db.execute(&format!("update values_of set {values} where id = 'bad{at}'")).await;
        let body = next(&engine, &mut device).await;
        let column = values.split_whitespace().next().expect("a column");
        assert_eq!(
            body["unreadable"],
            json!([{"table": "values_of", "id": format!("bad{at}"), "column": column}]),
            "{values}"
        );
        assert!(!device.ids("values_of").contains(&format!("bad{at}").as_str()), "{values}");
    }
    let mut fresh = device();
    pull(&engine, &mut fresh).await;
    let good: Vec<String> = (0..values.len()).map(|at| format!("good{at}")).collect();
    assert_eq!(fresh.ids("values_of"), good);
    db.execute("update values_of set due = '2026-01-02T03:04:05+00:00', number = 1, day = null where id = 'bad0'")
        .await;
    pull(&engine, &mut fresh).await;
    assert!(fresh.ids("values_of").contains(&"bad0"), "it comes when it is mended");
}

async fn next(engine: &Engine, device: &mut Device) -> Value {
    let request: PullRequest = serde_json::from_value(json!({"cursor": device.cursor})).expect("a pull");
    let page = engine.pull(&ann(), Wire::Two, request).await.expect("an answer");
    let body = serde_json::from_slice(&page.body).expect("JSON");
    device.apply(&body);
    body
}

#[tokio::test]
async fn unreadable_on_postgres() {
    let values = [
        "due = 'infinity'",
        "due = '294276-12-31'",
        "due = '-infinity'",
        "number = 'NaN'",
        "number = '-Infinity'",
        "day = 'infinity'",
        "day = '5874897-12-31'",
    ];
    inv40_an_unreadable_value_is_its_rows_own_trouble(Kind::Postgres, &values).await;
}

#[tokio::test]
async fn unreadable_on_sqlite() {
    let values = ["due = 'soon'", "due = x'ff'", "due = 7", "number = 'many'", "number = 9e999", "day = '2026-02-30'"];
    inv40_an_unreadable_value_is_its_rows_own_trouble(Kind::Sqlite, &values).await;
}

/// What the TypeScript Nizhal leaves behind, cut down to one synced table.
const TYPESCRIPT: &str = include_str!("typescript.sql");

#[tokio::test]
async fn inv12_inv40_a_database_of_the_typescript_system_is_taken_over() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(TYPESCRIPT).await;
    let engine = engine(&database, things()).await;
    assert_eq!(db.count("things").await, 2);
    assert_eq!(
        db.count(
            "_nizhal_jobs where id = 'ts-1' and name = 'send-sms' and args = '{\"to\": \"ann\"}' and status = 'pending'"
        )
        .await,
        1
    );
    assert_eq!(db.count("_nizhal_jobs").await, 1, "those that wait");
    let left = "pg_class where relname in ('_nizhal_client_buckets', '_nizhal_sync_control', '_nizhal_row_version_seq') or relname like '%typescript%'";
    assert_eq!(db.count(left).await, 0);

    let mut device = device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a", "b"]);
    db.execute("insert into things (id, owner, count) values ('c', 'ann', 1); delete from things where id = 'a'").await;
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b", "c"]);

    // A device goes on with its number, and what was answered there is not applied again.
    let push = |client: &str, id: &str, number: i64, row: &str| {
        let args = json!({"sql": format!("insert into things (id, owner, count) values ('{row}', 'ann', 1)")});
        let mutation =
            json!({"name": "run", "args": args, "clientMutationId": id, "clientID": client, "mutationID": number});
        push_of(&[mutation])
    };
    for (client, id, number, row, wanted) in
        [("phone", "m7", 7, "d", "Duplicate"), ("phone", "m8", 8, "e", "Applied"), ("laptop", "l4", 4, "f", "Applied")]
    {
        let answer = format!("{:?}", engine.push(&ann(), Wire::Two, push(client, id, number, row)).await);
        assert!(answer.contains(wanted), "{id}: {answer}");
    }
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["b", "c", "e", "f"]);
}
