//! Invariant 35: a row names a blob that is stored, whoever writes it, and a mutation that names another waits.

use super::world::{SIZE, World, blob, hash, photo, schema, told};
use crate::fixture::{self, both};
use nizhal_core::wire::Wire;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

both![
    inv35_a_row_names_a_stored_blob_whoever_writes_it,
    inv35_a_reference_is_exact_in_the_database_too,
    inv35_a_mutation_waits_for_its_blob,
    inv35_a_batch_waits_where_its_blob_is_missing,
    inv35_what_a_mutator_names_itself_is_stored,
    inv35_a_trigger_that_is_gone_is_noticed,
    inv35_rows_that_name_no_stored_blob_stop_the_start,
    a_blob_is_referenced_by_any_row,
];

async fn inv35_a_row_names_a_stored_blob_whoever_writes_it(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', None).await;
    world.stored('2', None).await;
    let (one, two, none) = (blob('1'), blob('2'), blob('3'));
    for (table, column) in
        [("photos", "image"), ("photos", "original"), ("cards", "back"), ("albums", "draft"), ("vaults", "image")]
    {
        let (shop, value) = if table == "vaults" { ("", "") } else { (", shop_id", ", 's1'") };
        let insert = |id: &str, blob: &Value| {
            format!("insert into {table} (id{shop}, {column}) values ('{id}'{value}, '{blob}')")
        };
        world.db.execute(&insert("a", &one)).await;
        let refused = world.db.try_execute(&insert("b", &none)).await.unwrap_err().to_string();
        assert!(
            refused.contains(&format!("{table}.{column} names a blob that is not stored: upload it first")),
            "{refused}"
        );
        let sql = format!("update {table} set {column} = '{none}' where id = 'a'");
        assert!(world.db.try_execute(&sql).await.is_err(), "{sql}");
        world.db.execute(&format!("update {table} set {column} = '{two}' where id = 'a'")).await;
        world.db.execute(&format!("update {table} set {column} = null where id = 'a'")).await;
        // One of many.
        let many = format!(
            "insert into {table} (id{shop}, {column}) select 'n' || n{value}, {as_json} from (select 1 as n union all select 2 \
             union all select 3) all_of_them",
            as_json = match kind {
                Kind::Postgres => format!("(case n when 3 then '{none}' else '{one}' end)::jsonb"),
                Kind::Sqlite => format!("case n when 3 then '{none}' else '{one}' end"),
            }
        );
        assert!(world.db.try_execute(&many).await.is_err(), "{many}");
        assert_eq!(world.db.count(table).await, 1);
        world.db.execute(&many.replace(&hash('3'), &hash('2'))).await;
        assert_eq!(world.db.count(table).await, 4);
        world.db.execute(&format!("delete from {table}")).await;
    }
    if kind == Kind::Postgres {
        // What logical replication applies, and what a tool restores.
        world.db.execute("set session_replication_role = replica").await;
        let sql = format!("insert into photos (id, shop_id, image) values ('r', 's1', '{none}')");
        assert!(world.db.try_execute(&sql).await.is_err());
    }
}

async fn inv35_a_reference_is_exact_in_the_database_too(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', None).await;
    let with = |field: &str, value: Value| {
        let mut changed = blob('1');
        changed[field] = value;
        changed.to_string()
    };
    for good in
        [blob('1').to_string(), with("mime", json!("a/b+c.d-e")), with("mime", json!(format!("a/{}", "b".repeat(125))))]
    {
        world.db.execute(&format!("insert into vaults (id, image) values ('a', '{good}'); delete from vaults")).await;
    }
    let double = format!(r#"{{"sha256":"{}","size":7,"size":7.5,"mime":"a/b"}}"#, hash('1'));
    let mut wrong = vec![
        with("sha256", json!("A".repeat(64))),
        with("sha256", json!([hash('1')])),
        with("size", json!("7")),
        with("size", json!(7.5)),
        with("size", json!(0)),
        with("size", json!(-7)),
        with("size", json!(null)),
        with("mime", json!("image")),
        with("mime", json!("a/b/c")),
        with("mime", json!("a/b; c=d")),
        with("mime", json!("a/-")),
        with("mime", json!(format!("a/{}", "b".repeat(126)))),
        with("name", json!("me.png")),
        json!({"sha256": hash('1'), "size": SIZE}).to_string(),
        json!([blob('1')]).to_string(),
        json!(hash('1')).to_string(),
        "null".to_owned(),
        "7".to_owned(),
        double,
        blob('1').to_string().replace(":7}", ":7.0}"),
    ];
    if kind == Kind::Sqlite {
        wrong.extend(["".to_owned(), "{".to_owned()]);
        // SQLite's texts of JSON end at a NUL.
        wrong.extend([with("mime", json!("image/png\0<script>")), with("sha256", json!(format!("{}\0", hash('1'))))]);
    }
    for wrong in wrong {
        let sql = format!("insert into vaults (id, image) values ('a', '{wrong}')");
        let refused = world.db.try_execute(&sql).await.expect_err(&wrong).to_string();
        assert!(refused.contains("vaults.image names a blob as {"), "{wrong}: {refused}");
    }
    let sql = format!("insert into vaults (id, image) values ('a', '{}')", with("size", json!(8)));
    let refused = world.db.try_execute(&sql).await.unwrap_err().to_string();
    assert!(refused.contains("with another size than it has"), "{refused}");
}

async fn inv35_a_mutation_waits_for_its_blob(kind: Kind) {
    let mut world = World::new(kind).await;
    let sent = json!({"name": "addPhoto", "clientMutationId": "m1", "clientID": "c", "mutationID": 1, "args": photo("p", "s1", '1')});
    for wire in [Wire::One, Wire::Two, Wire::Two] {
        let reply = world.push_as("ann", wire, std::slice::from_ref(&sent)).await;
        assert_eq!(told(&reply), ["missing 1"], "{wire:?}");
    }
    // Stored by somebody else, it is as missing as before.
    world.stored('1', Some("ben")).await;
    assert_eq!(told(&world.push_as("ann", Wire::Two, std::slice::from_ref(&sent)).await), ["missing 1"]);
    for table in ["photos", "_nizhal_mutations", "_nizhal_clients where last_mutation_id > 0"] {
        assert_eq!(world.db.count(table).await, 0, "{table}");
    }
    world.db.execute("update _nizhal_blob_holders set actor = replace(actor, 'ben', 'ann')").await;
    assert_eq!(told(&world.push_as("ann", Wire::Two, std::slice::from_ref(&sent)).await), ["applied"]);
    assert_eq!(world.db.text("select cast(last_mutation_id as text) from _nizhal_clients").await, "1");
    // Its answer is told again, whatever became of the blob.
    world.db.execute("delete from photos; delete from _nizhal_blob_holders; delete from _nizhal_blobs").await;
    assert_eq!(told(&world.push_as("ann", Wire::Two, &[sent]).await), ["duplicate"]);
}

async fn inv35_a_batch_waits_where_its_blob_is_missing(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', Some("ann")).await;
    let numbered = |number: i64, args: Value| json!({"name": "addPhoto", "clientMutationId": format!("m{number}"), "clientID": "c", "mutationID": number, "args": args});
    let sent =
        [numbered(1, photo("p1", "s1", '1')), numbered(2, photo("p2", "s1", '2')), numbered(3, photo("p3", "s1", '1'))];
    for wire in [Wire::One, Wire::Two] {
        let first = if wire == Wire::One { "applied" } else { "duplicate" };
        assert_eq!(told(&world.push_as("ann", wire, &sent).await), [first, "missing 2"]);
        assert_eq!(world.db.count("photos").await, 1);
    }
    // Stored by another, for whom a batch must not go through either.
    world.stored('2', Some("ben")).await;
    assert_eq!(told(&world.push_as("ann", Wire::Two, &sent).await), ["duplicate", "missing 2"]);
    let fresh = [numbered(2, photo("p2", "s1", '2')), numbered(3, photo("p3", "s1", '2'))];
    assert_eq!(told(&world.push_as("ann", Wire::Two, &fresh).await), ["missing 2"]);
    assert_eq!(world.db.count("photos").await, 1);
    world.db.execute("update _nizhal_blob_holders set actor = replace(actor, 'ben', 'ann')").await;
    assert_eq!(told(&world.push_as("ann", Wire::Two, &sent).await), ["duplicate", "applied", "applied"]);
    // A whole batch whose blobs are there is one.
    let more = [numbered(4, photo("p4", "s1", '1')), numbered(5, photo("p5", "s1", '2'))];
    assert_eq!(told(&world.push_as("ann", Wire::Two, &more).await), ["applied", "applied"]);
    assert_eq!(world.db.count("photos").await, 5);
}

async fn inv35_what_a_mutator_names_itself_is_stored(kind: Kind) {
    let mut world = World::new(kind).await;
    let named = |digit| json!({"sql": format!("insert into photos (id, shop_id, image) values ('p', 's1', '{}')", blob(digit))});
    // Only Postgres says which.
    let missing = if kind == Kind::Postgres { "missing 1" } else { "missing " };
    assert_eq!(world.tried("ann", "run", &named('1')).await, missing);
    assert_eq!(world.db.count("_nizhal_mutations").await, 0);
    world.stored('1', None).await;
    assert_eq!(world.tried("ann", "run", &named('1')).await, "applied");
    // What is no reference at all would be refused again, so it is refused for good.
    let sql = "update photos set image = '{}'";
    assert!(world.tried("ann", "run", &json!({"sql": sql})).await.starts_with("refused: "));
}

async fn inv35_a_trigger_that_is_gone_is_noticed(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', Some("ann")).await;
    assert_eq!(world.tried("ann", "addPhoto", &photo("p1", "s1", '1')).await, "applied");
    let triggers = match kind {
        Kind::Postgres => {
            "select tgname::text from pg_trigger where tgrelid = 'vaults'::regclass and tgname like '\\_nizhal\\_blob%'"
        }
        Kind::Sqlite => {
            "select name from sqlite_schema where type = 'trigger' and tbl_name = 'vaults' and name like '\\_nizhal\\_blob%' escape '\\'"
        }
    };
    let triggers = world.db.rows(triggers).await;
    assert_eq!(triggers.len(), 2);
    let name = triggers[0][0].as_deref().expect("a name");
    let of = if kind == Kind::Postgres { " on vaults" } else { "" };
    world.db.execute(&format!("drop trigger {name}{of}")).await;
    let told = world.tried("ann", "addPhoto", &photo("p2", "s1", '1')).await;
    assert!(told.starts_with("fault: "), "{told}");
    assert_eq!(world.db.count("photos").await, 1);
    world.engine.store().provision().await.expect("provisioned");
    assert_eq!(world.tried("ann", "addPhoto", &photo("p2", "s1", '1')).await, "applied");
}

async fn inv35_rows_that_name_no_stored_blob_stop_the_start(kind: Kind) {
    let database = Database::new(kind).await;
    let mut db = database.connect().await;
    let json = if kind == Kind::Postgres { "jsonb" } else { "json_text" };
    db.execute(&format!("create table vaults (id text not null primary key, image {json})")).await;
    db.execute(&format!("insert into vaults (id, image) values ('a', '{}')", blob('1'))).await;
    let schema = Arc::new(schema());
    let store = fixture::store(&database, &schema, 2).await;
    let refused = store.provision().await.unwrap_err().to_string();
    assert!(
        refused.contains("`vaults`") && refused.contains("`image`") && refused.contains("set it to NULL"),
        "{refused}"
    );
    db.execute("update vaults set image = null").await;
    store.provision().await.expect("provisioned");
    // A table that is provisioned already, and lost its triggers in between.
    let world = World::new(kind).await;
    let mut db = world.database.connect().await;
    match kind {
        Kind::Postgres => db.execute("alter table vaults disable trigger all").await,
        Kind::Sqlite => {
            let mut dropped = 0;
            let sql = "select name from sqlite_schema where type = 'trigger' and tbl_name = 'vaults' and name like '\\_nizhal\\_blob%' escape '\\'";
            for row in db.rows(sql).await {
                let name = row[0].clone().expect("a name");
                dropped += db.execute(&format!("drop trigger {name}")).await;
            }
            dropped
        }
    };
    db.execute(&format!("insert into vaults (id, image) values ('a', '{}')", blob('1'))).await;
    assert!(world.engine.store().plan().await.is_err());
    db.execute("delete from vaults").await;
    world.engine.store().provision().await.expect("provisioned");
}

async fn a_blob_is_referenced_by_any_row(kind: Kind) {
    let mut world = World::new(kind).await;
    for digit in "12345".chars() {
        world.stored(digit, None).await;
    }
    assert_eq!(world.referenced("12345").await, "");
    world
        .db
        .execute(&format!(
            "insert into photos (id, shop_id, original) values ('a', 's1', '{}'); \
             insert into cards (id, shop_id, back) values ('a', 's1', '{}'); \
             update cards set deleted_at = current_timestamp; \
             insert into vaults (id, image) values ('a', '{}')",
            blob('1'),
            blob('2'),
            blob('3')
        ))
        .await;
    assert_eq!(world.referenced("12345").await, "123", "private, deleted softly, of the server alone");
    world.db.execute("delete from vaults; update photos set original = null").await;
    assert_eq!(world.referenced("12345").await, "2");
    assert_eq!(world.referenced("").await, "");
    if kind == Kind::Postgres {
        // Who names it holds it until its end.
        let mut writer = world.database.connect().await;
        writer.execute("begin").await;
        writer.execute(&format!("insert into vaults (id, image) values ('b', '{}')", blob('4'))).await;
        let locked = |digit| format!("_nizhal_blobs where sha256 = '{}' for update skip locked", hash(digit));
        let free = world.db.rows(&format!("select sha256 from {}", locked('4'))).await;
        assert!(free.is_empty(), "collection cannot have it");
        assert_eq!(world.db.rows(&format!("select sha256 from {}", locked('5'))).await.len(), 1);
        // Others may name it meanwhile, and it may be marked.
        world.db.execute(&format!("insert into vaults (id, image) values ('c', '{}')", blob('4'))).await;
        world.db.execute("update _nizhal_blobs set unreferenced_ms = 1").await;
        writer.execute("rollback").await;
        assert_eq!(world.db.rows(&format!("select sha256 from {}", locked('4'))).await.len(), 1);
    }
}
