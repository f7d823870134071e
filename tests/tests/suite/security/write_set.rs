//! Invariant 18: a mutation whose writes were not noted is refused, and never taken for one that wrote nothing.

use super::world::World;
use crate::fixture::both;
use nizhal_tests::Kind;

both![
    inv18_a_write_set_that_was_cleared_is_refused,
    inv18_writes_past_the_triggers_are_refused,
    inv18_where_triggers_are_gone_nothing_is_written,
];

const FOREIGN: &str = "insert into customers (id, shop_id, name) values ('x', 's2', 'x')";

async fn inv18_a_write_set_that_was_cleared_is_refused(kind: Kind) {
    let mut world = World::new(kind).await;
    let before = world.rows().await;
    let clears: &[&str] = match kind {
        Kind::Postgres => {
            world
                .db
                .execute(
                    "create function forget() returns void language plpgsql as $$ begin execute 'reset all'; end $$; \
                     create function clear(name text) returns void language plpgsql as \
                     $$ begin perform set_config(name, '', true); end $$; \
                     create function clear_for_good(name text) returns void language plpgsql as \
                     $$ begin perform set_config(name, '', false); end $$",
                )
                .await;
            &[
                "select forget()",
                "do $$ begin execute 'reset all'; end $$",
                "select clear('nizhal.touched')",
                "select clear_for_good('nizhal.touched')",
                "set local nizhal.touched = ''",
                "select set_config('nizhal.touched', '', true)",
            ]
        }
        Kind::Sqlite => &["delete from _nizhal_touched", "delete from _nizhal_touched where note like '%s2%'"],
    };
    for clear in clears {
        for sql in [&[FOREIGN, clear][..], &[clear, FOREIGN, clear]] {
            let ran = world.ran("run", sql).await;
            assert_eq!(ran, "control", "{sql:?}");
        }
        assert_eq!(world.rows().await, before, "{clear}");
    }
    let own = "insert into customers (id, shop_id, name) values ('y', 's1', 'y')";
    assert_eq!(world.ran("run", &[own]).await, "applied");
}

async fn inv18_writes_past_the_triggers_are_refused(kind: Kind) {
    let mut world = World::new(kind).await;
    let before = world.rows().await;
    let ways: Vec<Vec<String>> = match kind {
        Kind::Postgres => {
            let disable = |how: &str| format!("alter table customers {how} trigger all");
            vec![
                vec!["set local session_replication_role = replica".to_owned(), FOREIGN.to_owned()],
                vec![
                    "do $$ begin perform set_config('session_replication_role', 'replica', true); end $$".to_owned(),
                    FOREIGN.to_owned(),
                    "do $$ begin perform set_config('session_replication_role', 'origin', true); end $$".to_owned(),
                ],
                vec![disable("disable"), FOREIGN.to_owned()],
                vec![disable("disable"), FOREIGN.to_owned(), disable("enable")],
            ]
        }
        Kind::Sqlite => {
            let sql = "select name, sql from sqlite_schema where type = 'trigger' and tbl_name = 'customers'";
            let triggers = world.db.rows(sql).await;
            let column = |at: usize| triggers.iter().map(move |row| row[at].clone().unwrap());
            let drops: Vec<String> = column(0).map(|name| format!("drop trigger {name}")).collect();
            let creates: Vec<String> = column(1).collect();
            let foreign = || vec![FOREIGN.to_owned()];
            vec![[drops.clone(), foreign()].concat(), [drops, foreign(), creates].concat()]
        }
    };
    for way in ways {
        let sql: Vec<&str> = way.iter().map(String::as_str).collect();
        let ran = world.ran("run", &sql).await;
        assert!(["control", "fault", "forbidden"].contains(&ran.as_str()), "{ran}: {way:?}");
        assert_eq!(world.rows().await, before, "{way:?}");
    }
    let own = "insert into customers (id, shop_id, name) values ('y', 's1', 'y')";
    assert_eq!(world.ran("run", &[own]).await, "applied");
}

async fn inv18_where_triggers_are_gone_nothing_is_written(kind: Kind) {
    let mut world = World::new(kind).await;
    let own = |id: &str| format!("insert into customers (id, shop_id, name) values ('{id}', 's1', 'y')");
    assert_eq!(world.ran("run", &[&own("a")]).await, "applied");
    let before = world.rows().await;
    let (gone, back) = match kind {
        Kind::Postgres => {
            let table = |how: &str| format!("alter table customers {how} trigger user");
            (table("disable"), table("enable"))
        }
        Kind::Sqlite => {
            let sql = "select name, sql from sqlite_schema where type = 'trigger' and tbl_name = 'customers' and name like '%insert%'";
            let triggers = world.db.rows(sql).await;
            let column = |at: usize| triggers.iter().map(move |row| row[at].clone().unwrap());
            let drops: Vec<String> = column(0).map(|name| format!("drop trigger {name}")).collect();
            (drops.join("; "), column(1).collect::<Vec<_>>().join("; "))
        }
    };
    world.db.execute(&gone).await;
    for sql in [FOREIGN, &own("b")] {
        assert_eq!(world.ran("run", &[sql]).await, "fault", "{sql}");
    }
    assert_eq!(world.rows().await, before);
    world.db.execute(&back).await;
    assert_eq!(world.ran("run", &[&own("c")]).await, "applied");
    assert_eq!(world.ran("run", &[FOREIGN]).await, "forbidden");
}
