//! What an app says of replay, and what its database is, judged before anything runs.

use super::{
    app::{self, Claims, Member, Remark},
    audience::Crate,
    plain::{Act, Deed},
    world::World,
};
use crate::fixture::{both, store};
use nizhal::{MutatorEntry, Rule, TableDesc, prelude::*};
use nizhal_runtime::schema::{Schema, SchemaError};
use nizhal_tests::{Database, Kind};
use std::sync::Arc;

/// Replayed, and names buckets.
#[nizhal::table(name = "staff", merge = "replay")]
struct Staff {
    #[nizhal(primary_key)]
    shop: String,
    #[nizhal(primary_key)]
    user_id: String,
}

sync_rules! {
    rules for Claims;
    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Crate where Crate.shop == shop;
    }
    rule owners(owner) { owner = actor.owner_id; Crate where Crate.owner == owner; }
    rule both(shop, owner) {
        shop in Member.shop where Member.user_id == actor.user_id;
        owner = actor.owner_id;
        Crate where Crate.shop == shop && Crate.owner == owner;
    }
    rule staff(shop) {
        shop in Staff.shop where Staff.user_id == actor.user_id;
        Staff where Staff.shop == shop;
        Remark where Remark.shop == shop;
    }
}

#[nizhal::args]
struct Move {
    shop: String,
    owner: String,
    number: i64,
}

macro_rules! replayed {
    ($args:ident: $($name:ident($($word:tt)+);)*) => {$(
        #[mutator($($word)+)]
        async fn $name(_ctx: &mut Ctx<Claims>, $args: Move) -> Result<Applied> {
            drop($args);
            Ok(Applied::done())
        }
    )*};
}
replayed! {
    args:
    in_shops(replay(shops = args.shop));
    in_owners(replay(owners = args.owner));
    in_both(replay(both = args.shop));
    in_staff(replay(staff = args.shop));
    nowhere(replay(my_shops = args.shop));
    by_number(replay(shops = args.number));
    for_members(replay(shops = args.shop), privileged(Member));
    for_remarks(replay(shops = args.shop), privileged(Remark));
}

fn judged(tables: Vec<&'static TableDesc>, rules: &[Rule], mutators: Vec<MutatorEntry>) -> SchemaError {
    Schema::new(tables, rules.to_vec(), mutators).expect_err("it cannot be replayed")
}

#[test]
fn what_cannot_be_replayed_is_named_at_the_start() {
    let rules = rules().into_inner();
    let (shops, staff) = (&rules[..3], &rules[3..]);
    let told = |mutators| judged(tables![Member, Crate, Remark], shops, mutators);
    let rule = |mutator, rule| SchemaError::ReplayRule { mutator, rule };
    assert_eq!(told(mutators![nowhere]), rule("nowhere", "myShops"));
    assert_eq!(told(mutators![in_both]), rule("inBoth", "both"));
    assert_eq!(
        told(mutators![by_number]),
        SchemaError::ReplayValue { mutator: "byNumber", rule: "shops", value: "bigint", param: "text" }
    );
    assert_eq!(
        told(mutators![for_members]),
        SchemaError::ReplayedMembership { mutator: "forMembers", table: "members" }
    );
    assert_eq!(
        told(mutators![for_remarks]),
        SchemaError::ReplayedPrivilege { mutator: "forRemarks", table: "remarks" }
    );
    assert_eq!(told(mutators![]), SchemaError::NeverReplayed("crates"));
    assert_eq!(
        told(mutators![in_shops, in_owners]),
        SchemaError::ReplayedTwice { table: "crates", one: "shops", other: "owners" }
    );
    let members = judged(tables![Staff, Remark], staff, mutators![in_staff]);
    assert_eq!(members, SchemaError::ReplayedMembers("staff"));
    Schema::new(tables![Member, Crate, Remark], shops.to_vec(), mutators![in_shops]).expect("a sound schema");
}

both![inv38_foreign_keys_into_replayed_tables_are_judged, inv37_rows_that_refer_to_others_are_taken_back];

/// A table of orders, each of an item in stock; with what else is said of that.
fn orders(kind: Kind, said: &str) -> String {
    let (time, uuid) = if kind == Kind::Postgres { ("timestamptz", "uuid") } else { ("text", "blob") };
    format!(
        "create table stock (shop text not null, item text not null, quantity bigint not null, primary key (shop, item));
         create table orders (shop text not null, id text not null, item text not null, quantity bigint not null, token {uuid} not null, \
         luck bigint not null, made_at {time} not null, primary key (shop, id), \
         foreign key (shop, item) references stock (shop, item) {said})"
    )
}

async fn inv38_foreign_keys_into_replayed_tables_are_judged(kind: Kind) {
    let refers = |said: &str| {
        format!(
            "create table stock (shop text not null, item text not null, quantity bigint not null, primary key (shop, item));
             create table labels (shop text, item text, foreign key (shop, item) references stock (shop, item) {said})"
        )
    };
    let extra = "create table stock (shop text not null, item text not null, quantity bigint not null, color text, primary key (shop, item))";
    let mut cases = vec![
        (refers("on delete cascade"), "`labels` changes or deletes the rows that refer to it"),
        (refers("on delete set null"), "`labels` changes or deletes the rows that refer to it"),
        (refers(""), "`labels` is not in the same order"),
        (orders(kind, "on delete cascade"), "`orders` changes or deletes the rows that refer to it"),
        (orders(kind, "on delete restrict"), "a foreign key of `orders` refuses that rows are taken back"),
        (extra.to_owned(), "column `color` has no field, and the table is replayed"),
    ];
    if kind == Kind::Postgres {
        cases.push((orders(kind, ""), "a foreign key of `orders` refuses that rows are taken back"));
    }
    for (before, wanted) in cases {
        let database = Database::new(kind).await;
        database.connect().await.execute(&before).await;
        let planned = store(&database, &Arc::new(app::schema()), 2).await.plan().await;
        let told = planned.expect_err(&before).to_string();
        assert!(told.contains("table `stock`") && told.contains(wanted), "{before}: {told}");
    }
}

async fn inv37_rows_that_refer_to_others_are_taken_back(kind: Kind) {
    let database = Database::new(kind).await;
    let said = if kind == Kind::Postgres { "deferrable" } else { "" };
    database.connect().await.execute(&orders(kind, said)).await;
    let mut world = World::of(database, app::schema()).await;
    world.open("s", &["ann"]).await;
    let restock = |quantity| Deed::Restock { item: "x", quantity };
    let deeds = [(1, restock(5)), (2, Deed::Buy { item: "x", quantity: 1 }), (9, restock(10)), (4, restock(100))];
    for (device, (after, deed)) in deeds.into_iter().enumerate() {
        world.arrive("s", &[Act { millis: 1_796_000_000_000 + after, device, number: 1, deed }]).await;
    }
    let found = world.outcome("s").await;
    assert_eq!(found.rows, ["order m1.001 x 1", "stock x 114"]);
    assert!(found.applied.values().all(|applied| *applied), "{found:?}");
    // Its place is before the last, and not behind it.
    let last = world.db.rows("select id from _nizhal_actions order by pos desc limit 1").await;
    assert_eq!(last, [[Some("s:m2.001".to_owned())]]);
    // What a mutation breaks, it is refused for, and nobody else is.
    let buy = Act { millis: 1_796_000_000_003, device: 5, number: 1, deed: Deed::Cancel { item: "x" } };
    world.arrive("s", &[buy]).await;
    assert_eq!(world.outcome("s").await.rows, ["stock x 115"]);
}
