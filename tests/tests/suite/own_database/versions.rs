//! Writers that name the columns of the engine, as a tool does that writes all columns of a row back: their writes are seen as any are.

use super::{Claims, device, pull, push, run};
use crate::fixture::{both, engine};
use nizhal::prelude::*;
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Device, Kind};

#[nizhal::table(name = "pages", merge = "field")]
struct Page {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    text: String,
}

#[nizhal::table(name = "lines")]
struct Line {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    text: String,
}

sync_rules! {
    rules for Claims;
    rule mine(owner) { owner = actor.user_id; Page where Page.owner == owner; Line where Line.owner == owner; }
}

both![
    inv01_a_write_that_names_the_version_is_delivered,
    inv01_a_row_written_back_as_it_was_is_delivered,
    inv18_a_mutation_that_names_the_version_is_judged,
    inv18_a_mutation_that_copies_a_version_is_judged,
];

const TABLES: [&str; 2] = ["pages", "lines"];

async fn world(kind: Kind) -> (Engine, Connection, Device, Database) {
    let database = Database::new(kind).await;
    let schema = Schema::new(tables![Page, Line], rules().into_inner(), mutators![run]).expect("a sound schema");
    let engine = engine(&database, schema).await;
    let mut db = database.connect().await;
    for table in TABLES {
        db.execute(&format!("insert into {table} (id, owner, text) values ('a', 'ann', '1'), ('b', 'ben', '1')")).await;
        db.execute(&format!("insert into {table} (id, owner, text) values ('z', 'ann', '1')")).await;
    }
    let mut device = device();
    pull(&engine, &mut device).await;
    (engine, db, device, database)
}

async fn inv01_a_write_that_names_the_version_is_delivered(kind: Kind) {
    let (engine, mut db, mut device, _database) = world(kind).await;
    for (count, version) in ["1", "_nizhal_version + 1", "-_nizhal_version", "0", "1000000"].into_iter().enumerate() {
        for table in TABLES {
            let text = format!("{version} {count}");
            db.execute(&format!("update {table} set text = '{text}', _nizhal_version = {version} where id = 'a'"))
                .await;
            pull(&engine, &mut device).await;
            assert_eq!(device.row(table, "a").map(|row| row["text"].clone()), Some(text.into()), "{table}: {version}");
        }
    }
    for table in TABLES {
        db.execute(&format!("update {table} set _nizhal_version = 7 where id = 'a'")).await;
        db.execute(&format!("update {table} set owner = 'ben', _nizhal_version = 1 where id = 'a'")).await;
        pull(&engine, &mut device).await;
        assert_eq!(device.ids(table), ["z"], "{table}");
        let sql = format!("update {table} set _nizhal_version = 1, deleted_at = '2026-01-01 00:00:00+00:00'");
        db.execute(&sql).await;
        pull(&engine, &mut device).await;
        assert_eq!(device.ids(table), Vec::<String>::new(), "{table}");
    }
}

async fn inv01_a_row_written_back_as_it_was_is_delivered(kind: Kind) {
    let (engine, mut db, mut device, _database) = world(kind).await;
    for table in TABLES {
        db.execute(&format!("create table copy_of_{table} as select * from {table}")).await;
        db.execute(&format!("update {table} set text = '2' where id = 'a'")).await;
        pull(&engine, &mut device).await;
        let columns = "text, _nizhal_version, updated_at, deleted_at";
        let columns = if table == "pages" { format!("{columns}, _meta") } else { columns.to_owned() };
        let set: Vec<String> = columns.split(", ").map(|name| format!("{name} = excluded.{name}")).collect();
        db.execute(&format!(
            "insert into {table} (id, owner, {columns}) select id, owner, {columns} from copy_of_{table} where true \
             on conflict (id) do update set {}",
            set.join(", ")
        ))
        .await;
        pull(&engine, &mut device).await;
        assert_eq!(device.row(table, "a").map(|row| row["text"].clone()), Some("1".into()), "{table}");
        let sql = format!("select count(*) from {table} where _nizhal_version < 1 or updated_at is null");
        assert_eq!(db.rows(&sql).await, [[Some("0".to_owned())]], "{table}");
    }
}

async fn inv18_a_mutation_that_names_the_version_is_judged(kind: Kind) {
    let (engine, mut db, _, _database) = world(kind).await;
    for table in TABLES {
        for version in ["1", "_nizhal_version + 1", "-_nizhal_version", "0", "_nizhal_version - 1"] {
            for set in ["owner = 'ann'", "text = 'x'"] {
                let sql = format!("update {table} set {set}, _nizhal_version = {version} where id = 'b'");
                let told = push(&engine, &sql).await;
                assert!(told.contains("Forbidden"), "{sql}: {told}");
            }
            let sql = format!("update {table} set owner = 'ben', _nizhal_version = {version} where id = 'a'");
            let told = push(&engine, &sql).await;
            assert!(told.contains("Forbidden"), "{sql}: {told}");
        }
        let rows = db.rows(&format!("select id, owner, text from {table} order by id")).await;
        let told: Vec<String> = rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
        assert_eq!(told, ["aann1", "bben1", "zann1"], "{table}");
    }
}

/// A version of this mutation's own, which it reads from what it wrote before.
async fn inv18_a_mutation_that_copies_a_version_is_judged(kind: Kind) {
    let (engine, _db, _, _database) = world(kind).await;
    for table in TABLES {
        for sign in ["", "-"] {
            for set in ["owner = 'ann'", "text = 'x'", "deleted_at = '2026-01-01 00:00:00+00:00'"] {
                let sql = format!(
                    "update {table} set text = text || '.' where id = 'a'; update {table} set {set}, _nizhal_version = {sign}(select \
                     _nizhal_version from {table} where id = 'a') where id = 'b'"
                );
                let told = push(&engine, &sql).await;
                assert!(told.contains("Forbidden"), "{sql}: {told}");
            }
        }
    }
}
