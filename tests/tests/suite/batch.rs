//! Batches in one transaction: each mutation as if it were alone, whatever becomes of the others.

use crate::fixture::{self, StoppedClock, both, push_of};
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_runtime::store::{Audit, AuditQuery};
use nizhal_tests::{Connection, Database, Kind};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "items")]
struct Item {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
}

#[nizhal::table(name = "letters")]
struct Letter {
    #[nizhal(primary_key)]
    id: String,
    reader: String,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    user_id: String,
}

sync_rules! {
    rules for Claims;

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Item where Item.shop == shop;
    }

    rule inbox(reader) {
        reader = actor.user_id;
        Letter where Letter.reader == reader;
    }
}

#[nizhal::args]
struct Put {
    client_id: String,
    shop: String,
    /// What goes wrong after it wrote.
    then: Option<String>,
}

/// How often a mutator met a fault that passes.
static MET: AtomicU32 = AtomicU32::new(0);

#[mutator]
async fn put(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    ItemActive { id: Set(args.client_id), shop: Set(args.shop) }.insert(ctx.db()).await?;
    match args.then.as_deref() {
        Some("reject") => Err(reject!("not after all")),
        Some("panic") => panic!("a mutator's own fault"),
        Some("meet") if MET.fetch_add(1, SeqCst) < 2 => {
            let fault = "do $$ begin raise exception 'passes' using errcode = '40001'; end $$";
            ctx.db().execute_unprepared(fault).await?;
            Ok(Applied::done())
        }
        _ => Ok(Applied::done()),
    }
}

#[nizhal::args]
struct Send {
    client_id: String,
    to: String,
}

#[mutator(privileged(Letter))]
async fn send(ctx: &mut Ctx<Claims>, args: Send) -> Result<Applied> {
    LetterActive { id: Set(args.client_id), reader: Set(args.to) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Join {
    shop: String,
}

#[mutator(privileged(Member))]
async fn join(ctx: &mut Ctx<Claims>, args: Join) -> Result<Applied> {
    MemberActive { shop: Set(args.shop), user_id: Set(ctx.actor().user_id.clone()) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

struct World {
    engine: Arc<Engine>,
    db: Connection,
    _database: Database,
}

impl World {
    async fn new(kind: Kind, audit: Audit) -> Self {
        let database = Database::new(kind).await;
        let tables = tables![Item, Letter, Member];
        let schema = Schema::new(tables, rules().into_inner(), mutators![put, send, join]).expect("a sound schema");
        let schema = Arc::new(schema);
        let store = fixture::store(&database, &schema, 8).await.with_audit(audit);
        let engine = Arc::new(fixture::engine_over(schema, store, StoppedClock::default()).await);
        let mut db = database.connect().await;
        db.execute("insert into members (shop, user_id) values ('s1', 'ann'), ('s9', 'ben')").await;
        Self { engine, db, _database: database }
    }

    async fn push(&self, wire: Wire, mutations: &[Value]) -> PushReply {
        push(&self.engine, wire, mutations).await
    }

    /// How many transactions wrote items, by their versions.
    async fn transactions(&mut self) -> u64 {
        self.db.count("(select distinct _nizhal_version from items) v").await
    }

    async fn ids(&mut self, table: &str) -> Vec<String> {
        let rows = self.db.rows(&format!("select id from {table} t order by t.id")).await;
        rows.into_iter().flatten().flatten().collect()
    }
}

async fn push(engine: &Engine, wire: Wire, mutations: &[Value]) -> PushReply {
    let claims = Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() };
    let request = push_of(mutations);
    engine.push(&Principal::new(claims, None), wire, request).await
}

fn mutation(number: usize, name: &str, args: &Value) -> Value {
    json!({"name": name, "args": args, "clientMutationId": format!("m{number}"), "clientID": "phone", "mutationID": number})
}

fn item(number: usize, then: Option<&str>) -> Value {
    mutation(number, "put", &json!({"clientId": format!("i{number}"), "shop": "s1", "then": then}))
}

fn told(reply: &PushReply) -> Vec<&'static str> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(_) => "applied",
        Verdict::Duplicate(_) => "duplicate",
        Verdict::Refused(PushError::Rejected(_)) => "rejected",
        Verdict::Refused(PushError::Forbidden) => "forbidden",
        Verdict::Refused(PushError::Cancelled(_)) => "cancelled",
        Verdict::Refused(PushError::MutatorPanicked) => "panicked",
        Verdict::Refused(_) => "refused",
        Verdict::Barred(_) => "barred",
    });
    answers.collect()
}

both![
    a_batch_is_one_transaction,
    inv16_a_refusal_takes_back_its_own_writes_alone,
    inv14_wire_one_ends_at_the_refusal,
    inv41_a_panic_is_a_refusal_of_its_own,
    inv18_a_foreign_write_is_refused_alone,
    inv18_a_membership_gained_in_the_batch_serves_those_after_it_alone,
    inv14_each_is_audited_by_itself,
    inv16_a_dependant_in_the_batch_is_cancelled,
    inv12_a_batch_partly_seen_applies_the_rest,
    inv13_pushes_at_once_are_each_kept_or_refused,
];

async fn a_batch_is_one_transaction(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let batch: Vec<Value> = (1..=50).map(|number| item(number, None)).collect();
    let reply = world.push(Wire::Two, &batch).await;
    assert_eq!(told(&reply), ["applied"; 50]);
    assert_eq!(reply.answers[49].last, Some(50));
    assert_eq!((world.transactions().await, world.db.count("items").await), (1, 50));
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["duplicate"; 50]);
    assert_eq!(world.db.text("select cast(last_mutation_id as text) from _nizhal_clients").await, "50");
}

async fn inv16_a_refusal_takes_back_its_own_writes_alone(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let batch = [item(1, None), item(2, Some("reject")), item(3, None)];
    let first = world.push(Wire::Two, &batch).await;
    assert_eq!(told(&first), ["applied", "rejected", "applied"]);
    assert_eq!(first.answers[1].last, Some(2));
    assert_eq!(world.ids("items").await, ["i1", "i3"]);
    assert_eq!(world.transactions().await, 1, "the refusal was filed in the transaction of the others");
    let again = world.push(Wire::Two, &batch).await;
    assert_eq!(told(&again), ["duplicate", "rejected", "duplicate"]);
    assert_eq!(world.db.count("_nizhal_mutations where version > 0").await, 3);
}

async fn inv14_wire_one_ends_at_the_refusal(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let batch = [item(1, None), item(2, Some("reject")), item(3, None), item(4, None)];
    assert_eq!(told(&world.push(Wire::One, &batch).await), ["applied", "rejected"]);
    assert_eq!(world.ids("items").await, ["i1"]);
    assert_eq!(world.db.text("select cast(last_mutation_id as text) from _nizhal_clients").await, "2");
    assert_eq!(told(&world.push(Wire::One, &batch[2..]).await), ["applied", "applied"]);
}

async fn inv41_a_panic_is_a_refusal_of_its_own(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let batch = [item(1, None), item(2, None), item(3, Some("panic")), item(4, None)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["applied", "applied", "panicked", "applied"]);
    assert_eq!(world.ids("items").await, ["i1", "i2", "i4"]);
    // What is wrong with it is wrong with it for good.
    assert_eq!(told(&world.push(Wire::Two, &[item(3, None), item(4, None)]).await), ["panicked", "duplicate"]);
    assert_eq!(
        world.db.text("select status from _nizhal_mutations where client_mutation_id = 'm3'").await,
        "mutator_panicked"
    );
}

async fn inv18_a_foreign_write_is_refused_alone(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let foreign = mutation(2, "put", &json!({"clientId": "i2", "shop": "s9"}));
    let letter = mutation(3, "send", &json!({"clientId": "l3", "to": "ben"}));
    let batch = [item(1, None), foreign, letter, item(4, None)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["applied", "forbidden", "applied", "applied"]);
    assert_eq!(
        (world.ids("items").await, world.ids("letters").await),
        (vec!["i1".to_owned(), "i4".to_owned()], vec!["l3".to_owned()])
    );
    // What one may do beyond its actor's buckets is not held against the next: they stay together.
    let batch = [mutation(5, "send", &json!({"clientId": "l5", "to": "ben"})), item(6, None), item(7, None)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["applied"; 3]);
    let sql = "(select _nizhal_version from items where id in ('i6', 'i7') union select _nizhal_version from letters where id = 'l5') v";
    assert_eq!(world.db.count(sql).await, 1);
}

async fn inv18_a_membership_gained_in_the_batch_serves_those_after_it_alone(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let foreign = |number| mutation(number, "put", &json!({"clientId": format!("i{number}"), "shop": "s9"}));
    let batch = [foreign(1), mutation(2, "join", &json!({"shop": "s9"})), foreign(3)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["forbidden", "applied", "applied"]);
    assert_eq!(world.ids("items").await, ["i3"]);
}

async fn inv14_each_is_audited_by_itself(kind: Kind) {
    let mut world = World::new(kind, Audit::On { args: false }).await;
    let letter = mutation(1, "send", &json!({"clientId": "l1", "to": "ben"}));
    let batch = [letter, item(2, None), item(3, Some("reject")), item(4, None)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["applied", "applied", "rejected", "applied"]);
    let page = world.engine.store().audit(&AuditQuery { limit: 10, ..AuditQuery::default() }).await.expect("a page");
    let found: Vec<String> =
        page.entries.iter().map(|entry| format!("{} {} {}", entry.id, entry.status, entry.buckets)).collect();
    let shop = r#"["shops:s1"]"#;
    assert_eq!(
        found,
        [
            r#"m1 applied ["inbox:ben"]"#.to_owned(),
            format!("m2 applied {shop}"),
            "m3 rejected []".to_owned(),
            format!("m4 applied {shop}")
        ]
    );
    assert_eq!(world.transactions().await, 1);
}

async fn inv16_a_dependant_in_the_batch_is_cancelled(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let on = |mut mutation: Value, on: &str| {
        mutation["dependsOn"] = json!([on]);
        mutation
    };
    let batch = [item(1, Some("reject")), on(item(2, None), "m1"), on(item(3, None), "m2"), item(4, None)];
    for last in ["applied", "duplicate"] {
        assert_eq!(told(&world.push(Wire::Two, &batch).await), ["rejected", "cancelled", "cancelled", last]);
    }
    assert_eq!(world.ids("items").await, ["i4"]);
}

async fn inv12_a_batch_partly_seen_applies_the_rest(kind: Kind) {
    let mut world = World::new(kind, Audit::Off).await;
    let batch: Vec<Value> = (1..=6).map(|number| item(number, None)).collect();
    assert_eq!(told(&world.push(Wire::One, &batch[..2]).await), ["applied"; 2]);
    let wanted = ["duplicate", "duplicate", "applied", "applied", "applied", "applied"];
    assert_eq!(told(&world.push(Wire::One, &batch).await), wanted);
    assert_eq!(world.db.count("items").await, 6);
}

async fn inv13_pushes_at_once_are_each_kept_or_refused(kind: Kind) {
    let world = World::new(kind, Audit::Off).await;
    let engine = &world.engine;
    let device = async |which: usize| {
        for number in 1..=12 {
            let then = match (which + number) % 5 {
                0 => Some("reject"),
                1 => Some("panic"),
                _ => None,
            };
            let id = format!("{which}-{number}");
            let args = json!({"clientId": id, "shop": "s1", "then": then});
            let reply = push(engine, Wire::Two, &[json!({"name": "put", "args": args, "clientMutationId": id})]).await;
            match then {
                None => assert_eq!(told(&reply), ["applied"], "{:?}", reply.fault),
                Some("reject") => assert_eq!(told(&reply), ["rejected"], "{:?}", reply.fault),
                _ => assert_eq!(told(&reply), ["panicked"], "{:?}", reply.fault),
            }
        }
    };
    futures_util::future::join_all((0..10).map(device)).await;
    let mut wanted: Vec<String> = (0..10_usize)
        .flat_map(|which| {
            (1..=12_usize).filter(move |number| (which + number) % 5 > 1).map(move |number| format!("{which}-{number}"))
        })
        .collect();
    wanted.sort();
    let mut world = world;
    assert_eq!(world.ids("items").await, wanted);
    assert_eq!(world.db.count("_nizhal_mutations").await, 120, "each has its answer");
}

#[tokio::test]
async fn inv17_a_fault_that_passes_splits_the_batch() {
    let mut world = World::new(Kind::Postgres, Audit::Off).await;
    let batch = [item(1, None), item(2, Some("meet")), item(3, None)];
    assert_eq!(told(&world.push(Wire::Two, &batch).await), ["applied"; 3]);
    assert_eq!(MET.load(SeqCst), 3, "once together, and alone until it passed");
    assert_eq!((world.ids("items").await.len(), world.transactions().await), (3, 3));
}
