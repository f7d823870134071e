//! What fails the same way every time is refused for good, and nothing waits behind it: at each statement and at COMMIT, on both databases.

use crate::fixture::{self, both, push_of};
use nizhal::prelude::*;
use nizhal::{Principal, SystemEnvironment};
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "parents")]
struct Parent {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    label: Option<String>,
    seen: Option<DateTimeUtc>,
}

#[nizhal::table(name = "children")]
struct Child {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    parent: Option<String>,
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
        Parent where Parent.shop == shop;
        Child where Child.shop == shop;
    }
}

#[nizhal::args]
struct AddParent {
    id: String,
}

#[mutator]
async fn add_parent(ctx: &mut Ctx<Claims>, args: AddParent) -> Result<Applied> {
    ParentActive { id: Set(args.id), shop: Set("s1".to_owned()), label: Set(None), ..Default::default() }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct AddChild {
    id: String,
    parent: String,
}

#[mutator]
async fn add_child(ctx: &mut Ctx<Claims>, args: AddChild) -> Result<Applied> {
    ChildActive { id: Set(args.id), shop: Set("s1".to_owned()), parent: Set(Some(args.parent)) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

/// Adds a parent, or labels the one that is there: by what the insert says.
#[mutator]
async fn put_parent(ctx: &mut Ctx<Claims>, args: AddParent) -> Result<Applied> {
    let new =
        ParentActive { id: Set(args.id.clone()), shop: Set("s1".to_owned()), label: Set(None), ..Default::default() };
    if new.insert(ctx.db()).await.is_err() {
        let known = Parent::find_by_id(args.id).one(ctx.db()).await.ok().flatten();
        let known = known.ok_or_else(|| reject!("the insert failed and nothing is there"))?;
        let label = Set(Some("again".to_owned()));
        ParentActive { label, ..known.into() }.update(ctx.db()).await?;
    }
    Ok(Applied::done())
}

/// Tries a parent, and is content when it is there.
#[mutator]
async fn ensure_parent(ctx: &mut Ctx<Claims>, args: AddParent) -> Result<Applied> {
    let new = ParentActive { id: Set(args.id), shop: Set("s1".to_owned()), label: Set(None), ..Default::default() };
    let _ = new.insert(ctx.db()).await;
    Ok(Applied::done())
}

#[mutator]
async fn read_parent(ctx: &mut Ctx<Claims>, args: AddParent) -> Result<Applied> {
    Parent::find_by_id(args.id).one(ctx.db()).await?.ok_or_else(|| reject!("nothing is there"))?;
    Ok(Applied::done())
}

/// One whose statement takes longer than the database lets it, each time.
#[mutator]
async fn compute(ctx: &mut Ctx<Claims>, _args: AddParent) -> Result<Applied> {
    ctx.db().execute_unprepared("set local statement_timeout = '20ms'").await?;
    ctx.db().execute_unprepared("select pg_sleep(60)").await?;
    Ok(Applied::done())
}

/// One that waits for what never comes.
#[mutator]
async fn wait(_ctx: &mut Ctx<Claims>, _args: AddParent) -> Result<Applied> {
    std::future::pending().await
}

struct World {
    engine: Engine,
    db: Connection,
    _database: Database,
}

impl World {
    /// A world whose tables were made by hand, with a foreign key that is judged at COMMIT.
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let mut db = database.connect().await;
        db.execute("create table parents (id text primary key, shop text not null, label varchar(40))").await;
        db.execute(
            "create table children (id text primary key, shop text not null, \
             parent text references parents (id) deferrable initially deferred)",
        )
        .await;
        let mutators = mutators![add_parent, add_child, put_parent, ensure_parent, read_parent, compute, wait];
        let schema =
            Schema::new(tables![Parent, Child, Member], rules().into_inner(), mutators).expect("a sound schema");
        let schema = Arc::new(schema);
        let store = fixture::store(&database, &schema, 4).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        db.execute("insert into members (shop, user_id) values ('s1', 'ann')").await;
        Self { engine, db, _database: database }
    }

    async fn push(&self, mutations: &[Value]) -> PushReply {
        let claims = Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() };
        self.engine.push(&Principal::new(claims, None), Wire::Two, push_of(mutations)).await
    }

    /// Pushes twice, alone and with a neighbour on either side: the same answers, and none waits for another.
    async fn refused(&mut self, number: usize, name: &str, args: &Value) -> String {
        let before = mutation(number, "addParent", &json!({"id": format!("before{number}")}));
        let after = mutation(number + 2, "addParent", &json!({"id": format!("after{number}")}));
        let batch = [before, mutation(number + 1, name, args), after];
        let reply = self.push(&batch).await;
        assert!(reply.fault.is_none(), "{:?}", reply.fault);
        assert_eq!(told(&reply), ["applied", "rejected", "applied"]);
        let again = self.push(&batch).await;
        assert_eq!(told(&again), ["duplicate", "rejected", "duplicate"]);
        reply.answers[1].verdict.failure().expect("a failure").to_string()
    }
}

fn mutation(number: usize, name: &str, args: &Value) -> Value {
    json!({"name": name, "args": args, "clientMutationId": format!("m{number}"), "clientID": "phone", "mutationID": number})
}

fn told(reply: &PushReply) -> Vec<&'static str> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(_) => "applied",
        Verdict::Duplicate(_) => "duplicate",
        Verdict::Refused(PushError::Rejected(_) | PushError::MutatorPanicked) => "rejected",
        Verdict::Refused(_) => "refused",
        Verdict::Barred(_) => "barred",
    });
    answers.collect()
}

/// A text that does not compress.
fn noise(bytes: usize) -> String {
    let mut state = 1_u64;
    let mut digit = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit(u32::try_from(state >> 60).expect("four bits"), 16).expect("a digit")
    };
    (0..bytes).map(|_| digit()).collect()
}

both![
    inv41_a_constraint_that_is_judged_at_commit_refuses,
    inv41_a_trigger_of_the_users_own_refuses,
    inv41_a_row_that_cannot_be_read_refuses,
    inv41_a_column_that_no_struct_has_is_a_fault_and_no_refusal,
    inv41_a_mutator_may_go_on_after_a_statement_that_failed,
    inv41_a_mutator_that_does_not_end_is_at_fault_itself,
];

async fn inv41_a_constraint_that_is_judged_at_commit_refuses(kind: Kind) {
    let mut world = World::new(kind).await;
    world.refused(1, "addChild", &json!({"id": "c1", "parent": "nobody"})).await;
    assert_eq!((world.db.count("children").await, world.db.count("parents").await), (0, 2));
    let child = mutation(4, "addChild", &json!({"id": "c2", "parent": "before1"}));
    assert_eq!(told(&world.push(&[child]).await), ["applied"]);
}

async fn inv41_a_trigger_of_the_users_own_refuses(kind: Kind) {
    let mut world = World::new(kind).await;
    match kind {
        Kind::Postgres => {
            let raise = "create function no() returns trigger language plpgsql as \
                $$ begin if new.id = 'bad' then raise exception 'no' using errcode = 'SHOP1'; end if; return new; end $$";
            world.db.execute(raise).await;
            world.db.execute("create trigger no before insert on parents for each row execute function no()").await;
        }
        Kind::Sqlite => {
            let raise =
                "create trigger no before insert on parents when new.id = 'bad' begin select raise(abort, 'no'); end";
            world.db.execute(raise).await;
        }
    }
    let text = world.refused(1, "addParent", &json!({"id": "bad"})).await;
    assert_eq!(text, "the data breaks a constraint of the database", "the trigger's text may name anything");
    world.engine = world.engine.with_named_violations(true);
    let text = world.refused(4, "addParent", &json!({"id": "bad"})).await;
    assert_eq!(text, "no", "who develops reads it");
}

/// The database answers others meanwhile: a device that heard 503 would send it for ever.
async fn inv41_a_mutator_that_does_not_end_is_at_fault_itself(kind: Kind) {
    let mut world = World::new(kind).await;
    world.engine = world.engine.with_mutator_timeout(std::time::Duration::from_millis(50));
    let reply = world.push(&[mutation(1, "wait", &json!({"id": "p1"}))]).await;
    assert!(reply.answers.is_empty() && matches!(reply.fault, Some(PushError::Internal(_))), "{reply:?}");
    world.engine = world.engine.with_mutator_timeout(std::time::Duration::from_secs(60));
    let add = mutation(1, "addParent", &json!({"id": "p1"}));
    assert_eq!(told(&world.push(&[add]).await), ["applied"], "nothing is in its way");
}

async fn inv41_a_row_that_cannot_be_read_refuses(kind: Kind) {
    let mut world = World::new(kind).await;
    // A value that the struct's type cannot hold, written by another program; for one of them the ORM panics.
    let seen = if kind == Kind::Sqlite { "once upon a time" } else { "infinity" };
    world.db.execute(&format!("insert into parents (id, shop, seen) values ('odd', 's1', '{seen}')")).await;
    world.refused(1, "readParent", &json!({"id": "odd"})).await;
}

async fn inv41_a_mutator_may_go_on_after_a_statement_that_failed(kind: Kind) {
    let mut world = World::new(kind).await;
    let batch = [
        mutation(1, "addParent", &json!({"id": "p1"})),
        mutation(2, "putParent", &json!({"id": "p1"})),
        mutation(3, "ensureParent", &json!({"id": "p1"})),
        mutation(4, "ensureParent", &json!({"id": "p2"})),
    ];
    let reply = world.push(&batch).await;
    assert_eq!(told(&reply), ["applied"; 4], "{:?}", reply.fault);
    assert_eq!(
        world.db.text("select id || ' ' || coalesce(label, '-') from parents order by id limit 1").await,
        "p1 again"
    );
    assert_eq!(world.db.count("parents").await, 2);
    assert_eq!(told(&world.push(&batch).await), ["duplicate"; 4]);
}

async fn inv41_a_column_that_no_struct_has_is_a_fault_and_no_refusal(kind: Kind) {
    let mut world = World::new(kind).await;
    // A field that the struct has no more; its column was left behind under the running server.
    world.db.execute("alter table parents add column legacy text not null default ''").await;
    let bare = match kind {
        Kind::Postgres => "alter table parents alter column legacy drop default",
        // SQLite adds no such column, so its definition is written by hand.
        Kind::Sqlite => {
            "pragma writable_schema = on; \
             update sqlite_schema set sql = replace(sql, 'not null default ' || char(39, 39), 'not null') where name = 'parents'; \
             pragma schema_version = 99999; pragma writable_schema = off"
        }
    };
    world.db.execute(bare).await;
    let batch = [mutation(1, "addParent", &json!({"id": "p1"})), mutation(2, "addParent", &json!({"id": "p2"}))];
    let reply = world.push(&batch).await;
    assert!(matches!(reply.fault, Some(PushError::Schema { violation: None, .. })), "{:?}", reply.fault);
    assert!(reply.answers.is_empty(), "nothing is stored: {:?}", reply.answers);
    world.engine = world.engine.with_named_violations(true);
    match world.push(&batch).await.fault {
        Some(PushError::Schema { violation: Some(told), .. }) => {
            assert!(told.contains("`legacy`") && told.contains("`parents`"), "{told}");
        }
        other => panic!("{other:?}"),
    }
    world.db.execute("alter table parents drop column legacy").await;
    assert_eq!(told(&world.push(&batch).await), ["applied"; 2]);
}

#[tokio::test]
async fn inv41_a_key_too_long_for_its_index_refuses() {
    let mut world = World::new(Kind::Postgres).await;
    world.refused(1, "addParent", &json!({"id": noise(9000)})).await;
}

#[tokio::test]
async fn inv17_a_column_that_changes_its_type_under_a_server_costs_a_connection() {
    let mut world = World::new(Kind::Postgres).await;
    let add = mutation(1, "addParent", &json!({"id": "p1"}));
    assert_eq!(told(&world.push(&[add]).await), ["applied"]);
    for number in 2..8 {
        assert_eq!(told(&world.push(&[mutation(number, "readParent", &json!({"id": "p1"}))]).await), ["applied"]);
    }
    world.db.execute("alter table parents alter column label type text").await;
    let after: Vec<Value> = (8..14).map(|number| mutation(number, "readParent", &json!({"id": "p1"}))).collect();
    let reply = world.push(&after[..1]).await;
    assert_eq!(told(&reply), ["applied"], "{:?}", reply.fault);
    let reply = world.push(&after[1..]).await;
    assert_eq!(told(&reply), ["applied"; 5], "{:?}", reply.fault);
}

/// A device waits for a database that is busy (503), and sets aside what a server that is well fails at each time (500).
#[tokio::test]
async fn inv41_a_statement_that_is_too_slow_is_the_mutators_fault() {
    let world = World::new(Kind::Postgres).await;
    let reply = world.push(&[mutation(1, "compute", &json!({"id": "p1"}))]).await;
    assert!(reply.answers.is_empty() && matches!(reply.fault, Some(PushError::Internal(_))), "{reply:?}");
}

/// The partition of a month that nobody made is an operator's to make: nothing is refused for good for want of it.
#[tokio::test]
async fn inv41_a_partition_that_is_missing_is_a_fault_and_no_refusal() {
    let mut world = World::new(Kind::Postgres).await;
    world
        .db
        .execute(
            "create table parted (id text not null) partition by list (id); \
             create table parted_a partition of parted for values in ('a'); \
             create function put_parted() returns trigger language plpgsql as \
             $$ begin insert into parted (id) values (new.id); return new; end $$; \
             create trigger put_parted after insert on parents for each row execute function put_parted()",
        )
        .await;
    let add = [mutation(1, "addParent", &json!({"id": "b"}))];
    let reply = world.push(&add).await;
    assert!(reply.answers.is_empty() && matches!(reply.fault, Some(PushError::Schema { .. })), "{reply:?}");
    world.db.execute("create table parted_b partition of parted for values in ('b')").await;
    assert_eq!(told(&world.push(&add).await), ["applied"]);
}
