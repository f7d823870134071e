//! What devices of the TypeScript Nizhal meet in a database that was taken over: their answers, and their stamps.

use super::{Claims, TYPESCRIPT, ann, things};
use crate::fixture::{StoppedClock, engine, engine_over, push_of, store};
use nizhal::prelude::*;
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

async fn push(engine: &Engine, wire: Wire, mutation: Value) -> String {
    format!("{:?}", engine.push(&ann(), wire, push_of(&[mutation])).await)
}

/// An answer that was lost is asked for again: it must be the first one, also where the audit log does not say whose it is.
#[tokio::test]
async fn inv12_answers_that_the_audit_log_does_not_name_are_kept() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(TYPESCRIPT).await;
    db.execute("insert into _nizhal_mutations values ('m5', 'local-5', 'e', null, now())").await;
    let engine = engine(&database, things()).await;
    for (wire, id, number, wanted) in [
        (Wire::Two, "m6", 6, "Refused(Rejected(\"no\"))"),
        (Wire::One, "m6", 6, "Refused(Rejected(\"no\"))"),
        (Wire::Two, "m5", 5, "Duplicate"),
        // Numbered anew by a client that heard where its sequence stands.
        (Wire::Two, "m6", 8, "Refused(Rejected(\"no\"))"),
        (Wire::One, "m5", 9, "Duplicate"),
    ] {
        let sql = format!("insert into things (id, owner, count) values ('again-{id}', 'ann', 1)");
        let mutation = json!({"name": "run", "args": {"sql": sql}, "clientMutationId": id, "clientID": "phone", "mutationID": number});
        let answer = push(&engine, wire, mutation).await;
        assert!(answer.contains(wanted), "{id} as {number}: {answer}");
        assert!(!answer.contains("local-5"), "whose it is nobody knows: {answer}");
    }
    assert_eq!(db.count("things where id like 'again%'").await, 0);
    // What depends on one that was refused there is cancelled here.
    let mutation = json!({"name": "run", "args": {"sql": "select 1"}, "clientMutationId": "m9", "dependsOn": ["m6"]});
    let answer = push(&engine, Wire::Two, mutation).await;
    assert!(answer.contains("Cancelled"), "{answer}");
}

#[nizhal::table(name = "things", merge = "field")]
struct Merged {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    count: i32,
    due: Option<DateTimeUtc>,
    #[nizhal(unique)]
    code: Option<String>,
}

sync_rules! {
    merged_rules for Claims;
    rule mine(owner) { owner = actor.user_id; Merged where Merged.owner == owner; }
}

/// What to count.
#[nizhal::args]
struct Count {
    count: i32,
}

#[mutator]
async fn count(ctx: &mut Ctx<Claims>, args: Count) -> Result<Applied> {
    MergedActive { id: Set("a".to_owned()), count: Set(args.count), ..Default::default() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Stamps of 16 digits were padded as devices' are, so that the same node is the same and others compare as they did.
#[tokio::test]
async fn inv20_columns_merge_by_the_stamps_that_were_taken_over() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(TYPESCRIPT).await;
    let schema = Schema::new(tables![Merged], merged_rules().into_inner(), mutators![count]).expect("a sound schema");
    let schema = Arc::new(schema);
    let an_hour_later = StoppedClock("2026-11-21T03:00:00Z".parse().expect("a time"));
    let engine = engine_over(schema.clone(), store(&database, &schema, 2).await, an_hour_later).await;
    let stamp = "select _meta ->> 'count' from things where id = 'a'";
    assert_eq!(db.text(stamp).await, "2026-11-21T02:00:00.000Z-0000-00000000000000000123456789abcdef");
    // The same moment by a lesser node, by a greater one, and an earlier moment.
    for (at, (hlc, wanted)) in [
        ("2026-11-21T02:00:00.000Z-0000-0123456789abcdee", "1"),
        ("2026-11-21T02:00:00.000Z-0000-0123456789abcdf0", "11"),
        ("2026-11-21T01:59:59.999Z-0000-ffffffffffffffff", "11"),
        ("2026-11-21T02:00:00.000Z-0000-00000000000000000123456789abcdf1", "13"),
    ]
    .into_iter()
    .enumerate()
    {
        let mutation =
            json!({"name": "count", "args": {"count": 10 + at}, "clientMutationId": format!("c{at}"), "hlc": hlc});
        let answer = push(&engine, Wire::Two, mutation).await;
        assert!(answer.contains("Applied"), "{answer}");
        assert_eq!(db.text("select count::text from things where id = 'a'").await, wanted, "{hlc}");
    }
}
