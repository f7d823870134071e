//! The app under attack: shops by a table of members that stays on the server, rooms by one that is synced.

use crate::fixture::{self, push_of};
use nizhal::prelude::*;
use nizhal::{JobEntry, MutatorEntry, Principal, SystemEnvironment, TableDesc};
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Engine, PushError, PushReply, Verdict};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use std::sync::Arc;

#[nizhal::claims]
pub(super) struct Claims {
    pub(super) user_id: String,
    pub(super) owner_id: String,
}

#[nizhal::table(name = "shop_members", server_only)]
pub(super) struct ShopMember {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
}

#[nizhal::table(name = "room_members")]
pub(super) struct RoomMember {
    #[nizhal(primary_key)]
    id: String,
    room_id: String,
    user_id: String,
    role: String,
}

#[nizhal::table(name = "customers")]
pub(super) struct Customer {
    #[nizhal(primary_key)]
    pub(super) id: String,
    pub(super) shop_id: String,
    pub(super) name: String,
}

#[nizhal::table(name = "notes")]
pub(super) struct Note {
    #[nizhal(primary_key)]
    id: String,
    room_id: String,
}

sync_rules! {
    pub(super) rules for Claims;

    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id;
        Customer where Customer.shop_id == shop_id;
    }

    rule rooms(room_id) {
        room_id in RoomMember.room_id where RoomMember.user_id == actor.user_id && RoomMember.role == "owner";
        Note where Note.room_id == room_id;
        RoomMember where RoomMember.room_id == room_id;
    }
}

#[nizhal::args]
pub(super) struct Run {
    pub(super) sql: Vec<String>,
}

/// Whatever SQL an app may run.
#[mutator]
async fn run(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

/// The same, by an app that takes the responsibility for who is a member.
#[mutator(privileged(ShopMember, RoomMember))]
async fn manage(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Invite {
    shop_id: String,
    user_id: String,
}

#[mutator]
async fn invite(ctx: &mut Ctx<Claims>, args: Invite) -> Result<Applied> {
    ShopMemberActive { shop_id: Set(args.shop_id), user_id: Set(args.user_id) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Found {
    shop_id: String,
}

/// Founds a shop, with its first customer and that customer's number.
#[mutator(privileged(ShopMember))]
async fn found(ctx: &mut Ctx<Claims>, args: Found) -> Result<Applied> {
    let user_id = Set(ctx.actor().user_id.clone());
    ShopMemberActive { shop_id: Set(args.shop_id.clone()), user_id }.insert(ctx.db()).await?;
    let number = ctx.next_in_bucket("customer", &args.shop_id).await?;
    let (id, name) = (Set(ctx.new_id().to_string()), Set(number.to_string()));
    CustomerActive { id, shop_id: Set(args.shop_id), name }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Draw {
    bucket: String,
    /// Whether it refuses with the number in its reason.
    tells: bool,
    /// Whether it passes over an error.
    goes_on: bool,
}

#[mutator]
async fn draw(ctx: &mut Ctx<Claims>, args: Draw) -> Result<Applied> {
    match ctx.next_in_bucket("receipt", &args.bucket).await {
        Ok(number) if args.tells => Err(reject!("it is {number}")),
        Ok(number) => Ok(Applied::id(number.to_string())),
        Err(_) if args.goes_on => Ok(Applied::done()),
        Err(error) => Err(error),
    }
}

#[mutator(server)]
async fn later(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    ctx.jobs().enqueue(work, args)?;
    Ok(Applied::done())
}

/// Whatever SQL a job may run.
#[nizhal::job]
pub(super) async fn work(ctx: &mut JobCtx, args: Run) -> Result<()> {
    for sql in &args.sql {
        ctx.db().execute_unprepared(sql).await?;
    }
    Ok(())
}

/// A job that enqueues one like itself.
#[nizhal::job]
pub(super) async fn hand_on(ctx: &mut JobCtx, args: Run) -> Result<()> {
    ctx.jobs().enqueue(work, args)?;
    Ok(())
}

#[mutator(server)]
async fn later_still(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    ctx.jobs().enqueue(hand_on, args)?;
    Ok(Applied::done())
}

pub(super) fn tables() -> Vec<&'static TableDesc> {
    tables![ShopMember, RoomMember, Customer, Note]
}

pub(super) fn mutators() -> Vec<MutatorEntry> {
    let mut all = mutators![run, manage, invite, found, draw, later, later_still];
    all.extend(super::errors::mutators());
    all.extend(super::jobs::mutators());
    all.extend(super::deferred::mutators());
    all
}

pub(super) fn jobs() -> Vec<JobEntry> {
    let mut all = jobs![work, hand_on];
    all.extend(super::jobs::jobs());
    all
}

/// A server's engine, and a connection of the owner's.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) db: Connection,
    pub(super) database: Database,
}

impl World {
    pub(super) async fn new(kind: Kind) -> Self {
        Self::of(kind, 1).await
    }

    /// One with so many connections. With one, what a mutation leaves on it the next one meets.
    pub(super) async fn of(kind: Kind, pool: u32) -> Self {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables(), rules().into_inner(), mutators()).expect("a sound schema");
        let schema = Arc::new(schema.with_jobs(jobs()).expect("sound jobs"));
        let store = fixture::store(&database, &schema, pool).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        let mut db = database.connect().await;
        db.execute(
            "insert into shop_members (shop_id, user_id) values ('s1', 'ann'), ('s2', 'ben'), ('s2', 'cem'); \
             insert into room_members (id, room_id, user_id, role) values ('m1', 'r1', 'ann', 'owner'), \
             ('m2', 'r2', 'ben', 'owner'), ('m3', 'r2', 'ann', 'guest'), ('m4', 'r3', 'ben', 'owner'), \
             ('m5', 'r3', 'ann', 'owner'); update room_members set deleted_at = current_timestamp where id = 'm5'; \
             insert into customers (id, shop_id, name) values ('c1', 's1', 'one'), ('c2', 's2', 'two'); \
             insert into notes (id, room_id) values ('n1', 'r1'), ('n2', 'r2'), ('n3', 'r3')",
        )
        .await;
        Self { engine, db, database }
    }

    /// What this user's push of these mutations comes to.
    pub(super) async fn push_as(&self, user: &str, mutations: &[Value]) -> PushReply {
        self.engine.push(&actor(user), Wire::Two, push_of(mutations)).await
    }

    /// What ann's mutation comes to.
    pub(super) async fn tried(&self, name: &str, args: &Value) -> String {
        told(&self.push_as("ann", &[mutation(name, args)]).await).join(" ")
    }

    /// What becomes of the mutation that runs this SQL.
    pub(super) async fn ran(&self, name: &str, sql: &[&str]) -> String {
        self.tried(name, &json!({"sql": sql})).await
    }

    /// All that is at stake.
    pub(super) async fn rows(&mut self) -> Vec<Vec<Option<String>>> {
        let mut all = Vec::new();
        for sql in [
            "select shop_id, user_id from shop_members order by shop_id, user_id",
            "select id, room_id, user_id, role, cast(deleted_at as text) from room_members order by id",
            "select id, shop_id, name from customers order by id",
            "select id, room_id from notes order by id",
            "select series, bucket, cast(last as text) from _nizhal_counters order by series, bucket",
        ] {
            all.extend(self.db.rows(sql).await);
        }
        all
    }
}

/// A token's bearer.
pub(super) fn actor(user: &str) -> Principal {
    Principal::new(Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }, None)
}

/// A mutation that was never sent before.
pub(super) fn mutation(name: &str, args: &Value) -> Value {
    json!({"name": name, "clientMutationId": Uuid::now_v7(), "args": args})
}

/// What each mutation came to; a fault where the push ended with one.
pub(super) fn told(reply: &PushReply) -> Vec<String> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(ids) => ids.server_id.as_ref().map_or("applied".to_owned(), |id| format!("applied {id}")),
        Verdict::Duplicate(_) => "duplicate".to_owned(),
        Verdict::Refused(PushError::Forbidden) => "forbidden".to_owned(),
        Verdict::Refused(PushError::Rejected(reason)) => format!("rejected: {reason}"),
        Verdict::Refused(PushError::TransactionControl(_)) => "control".to_owned(),
        Verdict::Refused(other) => format!("refused: {other}"),
        Verdict::Barred(_) => "barred".to_owned(),
    });
    answers.chain(reply.fault.iter().map(|_| "fault".to_owned())).collect()
}
