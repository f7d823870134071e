//! Replayed tables of unusual shapes, and statements of unusual kinds: whatever the order of arrival, all ends as in the order of the places.

use super::{
    app::{Claims, Member},
    plain::stamp,
    world::{World, told},
};
use crate::fixture::{both, store};
use nizhal::{Decimal, prelude::*};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::sync::Arc;

/// A table of parcels, with its schema: a key of several types, a value that the database computes, rows that are in no bucket.
macro_rules! parcels {
    ({ $($label:tt)* } $($more:tt)*) => {
        #[nizhal::table(name = "parcels", merge = "replay")]
        struct Parcel {
            #[nizhal(primary_key)]
            shop: String,
            #[nizhal(primary_key)]
            number: Decimal,
            #[nizhal(primary_key)]
            id: Uuid,
            #[nizhal(primary_key)]
            at: DateTimeUtc,
            weight: i64,
            #[nizhal(generated = "weight * 2")]
            twice: i64,
            hidden: bool,
            $($label)*
            label: Option<String>,
            $($more)*
            deleted_at: Option<DateTimeUtc>,
        }

        sync_rules! {
            rules for Claims;
            #[name = "stores"]
            rule shops(shop) {
                shop in Member.shop where Member.user_id == actor.user_id;
                Parcel where Parcel.shop == shop && Parcel.hidden == false;
            }
        }

        pub(super) fn schema() -> Schema {
            Schema::new(tables![Member, Parcel], rules().into_inner(), mutators![run]).expect("a sound schema")
        }
    };
}

// One value is unique.
parcels!({ #[nizhal(unique)] });

/// A parcel to make, or what to run.
#[nizhal::args]
struct Order {
    shop: String,
    number: i64,
    sql: String,
}

#[mutator(replay("stores" = order.shop))]
async fn run(ctx: &mut Ctx<Claims>, order: Order) -> Result<Applied> {
    if !order.sql.is_empty() {
        ctx.db().execute_unprepared(&order.sql).await?;
        return Ok(Applied::done());
    }
    let at = DateTimeUtc::from_timestamp_millis(order.number).unwrap_or_default();
    let (number, id) = (Decimal::from(order.number), Uuid::from_u128(order.number.unsigned_abs().into()));
    ParcelActive {
        shop: Set(order.shop),
        number: Set(number),
        id: Set(id),
        at: Set(at),
        weight: Set(order.number),
        hidden: Set(false),
        ..Default::default()
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

/// A mutation of a device of its own, so many milliseconds after the first.
pub(super) fn sent(shop: &str, after: usize, sql: &str) -> Value {
    let stamp = stamp(1_796_000_000_000 + after as i64, after + 1);
    let number = if sql.is_empty() { after } else { 0 };
    json!({
        "name": "run", "args": {"shop": shop, "number": number, "sql": sql.replace("{shop}", shop)},
        "clientMutationId": format!("{shop}:{after}"), "clientID": format!("{shop}:{after}"), "mutationID": 1, "hlc": stamp,
    })
}

async fn rows(world: &mut World, shop: &str) -> Vec<Vec<Option<String>>> {
    let sql = format!(
        "select cast(number as text), weight, twice, hidden, replace(label, '{shop}', ''), \
         case when deleted_at is null then 'there' else 'gone' end from parcels where shop = '{shop}' order by 1, 2"
    );
    let mut found = world.db.rows(&sql).await;
    let statuses = format!(
        "select replace(client_mutation_id, '{shop}', ''), status from _nizhal_mutations where client_mutation_id like '{shop}:%' order by 1"
    );
    found.extend(world.db.rows(&statuses).await);
    found
}

/// Every order of these.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let longer = all.iter().flat_map(|order: &Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        });
        all = longer.collect();
    }
    all.sort();
    all
}

/// An insert of a row that is there.
const AGAIN: &str = "into parcels (shop, number, id, at, weight, hidden, label) \
    select shop, number, id, at, weight + 5, hidden, label from parcels where shop = '{shop}' and weight < 50";

fn scenarios(kind: Kind) -> Vec<Vec<String>> {
    let upsert =
        format!("insert {AGAIN} on conflict (shop, number, id, at) do update set weight = parcels.weight + 10");
    let ignored = format!("insert {AGAIN} on conflict do nothing");
    let all = |statements: [&str; 4]| {
        statements.map(|sql| format!("{sql}{}", if sql.contains("where") { " and shop = '{shop}'" } else { "" }))
    };
    let mut scenarios = vec![
        vec![
            upsert.clone(),
            "update parcels set weight = weight * 2 where shop = '{shop}'".to_owned(),
            upsert,
            ignored,
        ],
        all([
            "update parcels set number = 101 where number = 1",
            "update parcels set weight = weight + 1 where true",
            "update parcels set number = 1 where number = 101",
            "delete from parcels where number = 1",
        ])
        .into(),
        all([
            "update parcels set deleted_at = at where number = 1",
            "update parcels set weight = weight + 1 where deleted_at is null",
            "update parcels set deleted_at = null where number = 1",
            "delete from parcels where deleted_at is not null",
        ])
        .into(),
        all([
            "update parcels set label = '{shop}' where number = 1",
            "update parcels set label = null where number = 1",
            "update parcels set label = '{shop}' where number = 2",
            "update parcels set weight = 40 where label is not null",
        ])
        .into(),
        all([
            "update parcels set hidden = true where number = 1",
            "update parcels set weight = weight + 1 where not hidden",
            "update parcels set hidden = false where number = 1",
            "delete from parcels where hidden",
        ])
        .into(),
    ];
    if kind == Kind::Sqlite {
        let replace = format!("replace {AGAIN}");
        let label = "update parcels set label = '{shop}' where number = 1 and shop = '{shop}'".to_owned();
        // It takes a row of another key away, by the value that is unique.
        let displace = "insert or replace into parcels (shop, number, id, at, weight, hidden, label) \
            select shop, '7', id, at, 7, hidden, '{shop}' from parcels where shop = '{shop}' and number = '2'";
        scenarios.push(vec![replace.clone(), label, displace.to_owned(), replace]);
    }
    scenarios
}

/// The rows and the results of each scenario in each order of arrival.
async fn ends_alike(world: &mut World, kind: Kind) {
    for (at, scenario) in scenarios(kind).iter().enumerate() {
        let mut wanted = None;
        for (nth, order) in orders(scenario.len()).iter().enumerate() {
            let shop = format!("s{at}-{nth}-");
            world.open(&shop, &["ann"]).await;
            let made = [sent(&shop, 1, ""), sent(&shop, 2, "")];
            assert_eq!(told(&world.push("ann", &made).await), ["applied", "applied"]);
            for &next in order {
                let reply = world.push("ann", &[sent(&shop, 10 + next, &scenario[next])]).await;
                assert!(reply.fault.is_none() && reply.answers.len() == 1, "{order:?} of {scenario:?}: {reply:?}");
            }
            let found = rows(world, &shop).await;
            // The first is the order of the places, in which nothing is taken back.
            let wanted = wanted.get_or_insert_with(|| found.clone());
            assert_eq!(found, *wanted, "{order:?} of {scenario:#?}");
        }
    }
}

both![
    inv37_statements_of_all_kinds_end_alike,
    inv37_a_value_that_another_space_took_makes_the_late_one_the_last,
    inv03_a_row_in_no_bucket_is_in_its_own_space,
    inv38_images_of_an_earlier_life_are_forgotten,
];

async fn inv37_statements_of_all_kinds_end_alike(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    ends_alike(&mut world, kind).await;
}

#[tokio::test]
async fn inv37_partitions_end_alike() {
    let database = Database::new(Kind::Postgres).await;
    let mut db = database.connect().await;
    db.execute(
        "create table parcels (shop text not null, number numeric not null, id uuid not null, at timestamptz not null, \
         weight bigint not null, twice bigint not null generated always as (weight * 2) stored, hidden boolean not null, \
         label text, deleted_at timestamptz, primary key (shop, number, id, at)) partition by range (number)",
    )
    .await;
    db.execute("create table few partition of parcels for values from (0) to (50)").await;
    db.execute("create table many partition of parcels for values from (50) to (500)").await;
    let mut world = World::of(database, partitioned::schema()).await;
    for (at, order) in orders(4).iter().enumerate() {
        let shop = format!("s{at}-");
        world.open(&shop, &["ann"]).await;
        let made = [sent(&shop, 1, ""), sent(&shop, 2, "")];
        assert_eq!(told(&world.push("ann", &made).await), ["applied", "applied"]);
        // From one partition to the other and back.
        let scenario = &scenarios(Kind::Postgres)[1];
        for &next in order {
            world.push("ann", &[sent(&shop, 10 + next, &scenario[next])]).await;
        }
        let found = rows(&mut world, &shop).await;
        let one = |number: &str| found.iter().any(|row| row[0].as_deref() == Some(number));
        assert!(!one("1") && !one("101") && one("2"), "{order:?}: {found:?}");
    }
    // One that is attached later is watched as soon as a server has looked; and so is one below it.
    world.db.execute("create table later (like parcels including all) partition by range (number)").await;
    world.db.execute("create table below partition of later for values from (500) to (900)").await;
    world.db.execute("alter table parcels attach partition later for values from (500) to (900)").await;
    world.engine.ready().await.expect("it is ready");
    for partition in ["few", "many", "later", "below", "parcels"] {
        let sql = format!("truncate {partition}");
        let refused = world.db.try_execute(&sql).await.expect_err("it writes past the order").to_string();
        assert!(refused.contains("is replayed"), "{partition}: {refused}");
    }
    assert_eq!(told(&world.push("ann", &[sent("s0-", 600, "")]).await), ["applied"], "and its mutations go on");
}

/// The same table without a unique value, which partitions cannot have.
mod partitioned {
    use super::*;

    parcels!({});
}

async fn inv37_a_value_that_another_space_took_makes_the_late_one_the_last(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    world.open("s", &["ann"]).await;
    world.open("t", &["ann"]).await;
    let label = |shop, after, value: &str| {
        sent(shop, after, &format!("update parcels set label = {value} where shop = '{{shop}}'"))
    };
    for one in [sent("s", 1, ""), sent("t", 2, ""), label("s", 5, "'x'"), label("s", 10, "null"), label("t", 12, "'x'")]
    {
        assert_eq!(told(&world.push("ann", &[one]).await), ["applied"]);
    }
    // Between 5 and 10 the label was that of `s`, and now `t` has it.
    let late = sent("s", 7, "update parcels set weight = 70 where shop = '{shop}'");
    assert_eq!(told(&world.push("ann", &[late]).await), ["applied"]);
    let found = world.db.rows("select shop, weight, label from parcels order by shop").await;
    let text = |row: [&str; 3]| row.map(|value| (value != "-").then(|| value.to_owned())).to_vec();
    assert_eq!(found, [text(["s", "70", "-"]), text(["t", "2", "x"])]);
    // It stands where it took effect.
    let later = sent("s", 8, "update parcels set weight = weight + 1 where shop = '{shop}'");
    assert_eq!(told(&world.push("ann", &[later]).await), ["applied"]);
    let found = world.db.rows("select weight from parcels where shop = 's'").await;
    assert_eq!(found, [[Some("71".to_owned())]]);
}

async fn inv03_a_row_in_no_bucket_is_in_its_own_space(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    world.open("s", &["ann"]).await;
    world.open("t", &["ann"]).await;
    let hide = sent("t", 2, "update parcels set hidden = true where shop = 't'");
    assert_eq!(told(&world.push("ann", &[sent("t", 1, ""), hide]).await), ["applied", "applied"]);
    // No bucket has the row, so no write set names it.
    for (at, sql) in [
        "update parcels set weight = 9 where shop = 't'",
        "delete from parcels where shop = 't'",
        "insert into parcels (shop, number, id, at, weight, hidden) select shop, '9', id, at, 9, true from parcels",
    ]
    .into_iter()
    .enumerate()
    {
        let sql = if kind == Kind::Postgres { sql.replace("'9'", "9") } else { sql.to_owned() };
        assert_eq!(told(&world.push("ann", &[sent("s", 3 + at, &sql)]).await), ["forbidden"], "{sql}");
    }
    assert_eq!(world.db.rows("select weight from parcels").await, [[Some("1".to_owned())]]);
}

async fn inv38_images_of_an_earlier_life_are_forgotten(kind: Kind) {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    world.open("s", &["ann"]).await;
    let heavier = |after| sent("s", after, "update parcels set weight = weight + 10 where shop = '{shop}'");
    let life = [sent("s", 1, ""), heavier(20), heavier(30)];
    assert_eq!(told(&world.push("ann", &life).await), ["applied"; 3]);
    let store = store(&world.database, &Arc::new(schema()), 2).await;
    store.drop_tables().await.expect("dropped");
    let left = match kind {
        Kind::Postgres => "select relname::text from pg_class where relname like '\\_nizhal\\_undo%'",
        Kind::Sqlite => "select name from sqlite_schema where name like '\\_nizhal\\_undo%' escape '\\'",
    };
    assert_eq!(world.db.rows(left).await, [[None; 0]; 0]);
}

#[tokio::test]
async fn inv38_images_of_earlier_columns_are_forgotten() {
    let mut world = World::of(Database::new(Kind::Postgres).await, schema()).await;
    world.open("s", &["ann"]).await;
    let heavier = |after| sent("s", after, "update parcels set weight = weight + 10 where shop = '{shop}'");
    assert_eq!(told(&world.push("ann", &[sent("s", 1, ""), heavier(20)]).await), ["applied"; 2]);
    // A column more, and then none: in between nobody kept images of the columns that there are again.
    world.deploy(wide::schema()).await;
    assert_eq!(told(&world.push("ann", &[sent("s", 30, "")]).await), ["applied"]);
    world.db.execute("alter table parcels drop column color").await;
    world.deploy(schema()).await;
    assert_eq!(told(&world.push("ann", &[heavier(25)]).await), ["applied"]);
    let found = world.db.rows("select status from _nizhal_mutations").await;
    assert_eq!(found, vec![[Some("applied".to_owned())]; 4]);
    let found = world.db.rows("select weight from parcels order by weight").await;
    assert_eq!(found, ["21", "40"].map(|weight| [Some(weight.to_owned())]));
}

/// The same table with a column more.
mod wide {
    use super::*;

    parcels!({ #[nizhal(unique)] } color: Option<String>,);
}
