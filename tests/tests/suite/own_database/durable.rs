//! What is acknowledged is on the disk, also where the database's settings say that a commit need not wait for it.

use super::{push, things};
use crate::fixture::engine;
use nizhal_tests::{Database, Kind};

#[tokio::test]
async fn inv13_inv39_an_answer_waits_for_the_disk() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let engine = engine(&database, things()).await;
    // What a commit does is decided when it comes. What a push defers runs before that, unless it is deferred once more.
    db.execute(
        "create table probe (id integer); create table commits (setting text); \
         create function note() returns trigger language plpgsql as $$ begin \
           insert into commits values (current_setting('synchronous_commit')); return null; end $$; \
         create constraint trigger note after insert on probe deferrable initially deferred for each row execute function note(); \
         create function defer() returns trigger language plpgsql as $$ begin \
           set constraints note deferred; insert into probe values (1); return null; end $$; \
         create constraint trigger defer after insert on things deferrable initially deferred for each row execute function defer()",
    )
    .await;
    for setting in ["off", "local", "remote_write"] {
        db.execute(&format!(
            "do $$ begin execute format('alter database %I set synchronous_commit = {setting}', current_database()); end $$"
        ))
        .await;
        engine_forgets_its_sessions(&mut db).await;
        let told = push(&engine, "insert into things (id, owner, count) values ('a', 'ann', 1)").await;
        assert!(told.contains("Applied"), "{told}");
        let wanted = if setting == "off" { "local" } else { setting };
        assert_eq!(db.text("select string_agg(setting, ',') from commits").await, wanted, "{setting}");
        db.execute("delete from commits; delete from things").await;
    }
}

async fn engine_forgets_its_sessions(db: &mut nizhal_tests::Connection) {
    let others = "pid <> pg_backend_pid() and datname = current_database()";
    db.execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where {others}")).await;
    nizhal_tests::until("the sessions ended", async || {
        db.count(&format!("pg_stat_activity where {others}")).await == 0
    })
    .await;
}
