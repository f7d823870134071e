//! The rights of the role that serves: what it lacks is named with the statement that gives it.

use super::{changed::uuid, pull, push, things};
use crate::fixture::{StoppedClock, engine_over, store};
use nizhal_tests::{Database, Kind};
use std::sync::Arc;

#[tokio::test]
async fn inv40_a_right_that_is_missing_is_named_at_the_start() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    let schema = Arc::new(things());
    store(&database, &schema, 2).await.provision().await.expect("provisioned");
    let role = format!("server_{}", uuid());
    db.execute(&format!("create role {role} login")).await;
    let serving = Database::at(&database.url().replace("postgres@", &format!("{role}@")));
    let serving = store(&serving, &schema, 2).await;
    // What the book's page grants, from the last to the first.
    for (lacks, wanted, grant) in [
        (
            "_nizhal_",
            format!("grant select, insert, update, delete on all tables in schema public to {role}"),
            "select, insert, update, delete on all tables in schema public",
        ),
        (
            "_nizhal_clock",
            format!("grant usage, select on sequence _nizhal_clock to {role}"),
            "usage, select on all sequences in schema public",
        ),
    ] {
        let told = serving.missing().await.expect_err("refused").to_string();
        assert!(told.contains(lacks) && told.contains(&wanted) && !told.contains("migrate"), "{told}");
        db.execute(&format!("grant {grant} to {role}")).await;
    }
    assert_eq!(serving.missing().await.expect("a plan"), Vec::<String>::new());
    db.execute(&format!("revoke select on things from {role}")).await;
    let told = serving.missing().await.expect_err("refused").to_string();
    assert!(told.contains(&format!("grant select on \"things\" to {role}")), "{told}");
    db.execute(&format!("grant select on things to {role}")).await;
    let engine = engine_over(schema, serving, StoppedClock::default()).await;
    let told = push(&engine, "insert into things (id, owner, count) values ('a', 'ann', 1)").await;
    assert!(told.contains("Applied"), "{told}");
    let mut device = super::device();
    pull(&engine, &mut device).await;
    assert_eq!(device.ids("things"), ["a"]);
    db.execute(&format!("drop owned by {role}")).await;
}
