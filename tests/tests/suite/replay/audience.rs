//! Who hears of what a mutation changes that runs again: its effects reach rows that its author may not see, move rows from one audience to
//! another, and each device holds what its user may see, however it came to it.

use super::{
    app::{Claims, Member},
    plain::stamp,
    world::{World, told},
};
use crate::fixture::{both, push_of};
use nizhal::{Principal, prelude::*};
use nizhal_core::wire::Wire;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Database, Kind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[nizhal::table(name = "crates", merge = "replay")]
pub(super) struct Crate {
    #[nizhal(primary_key)]
    id: String,
    shop: String,
    /// Whose devices show it too.
    owner: String,
    weight: i64,
    hidden: bool,
    #[nizhal(private)]
    cost: i64,
}

sync_rules! {
    rules for Claims;
    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Crate where Crate.shop == shop && Crate.hidden == false;
    }
    rule owners(owner) { owner = actor.owner_id; Crate where Crate.owner == owner; }
}

#[nizhal::args]
struct Put {
    shop: String,
    id: String,
    owner: String,
    weight: i64,
}

#[mutator(replay(shops = args.shop), privileged(Crate))]
async fn put(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let Put { shop, id, owner, weight } = args;
    let crate_ = CrateActive {
        id: Set(id),
        shop: Set(shop),
        owner: Set(owner),
        weight: Set(weight),
        hidden: Set(false),
        cost: Set(weight * 100),
    };
    crate_.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Gives a crate to another owner; only one that is heavy.
#[mutator(replay(shops = args.shop), privileged(Crate))]
async fn give(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let found = Crate::find_by_id(&*args.id).one(ctx.db()).await?.filter(|found| found.weight >= args.weight);
    let found = found.ok_or_else(|| reject!("it is too light"))?;
    CrateActive { owner: Set(args.owner), ..found.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Makes all crates of the shop heavier, those too that the author does not see.
#[mutator(replay(shops = args.shop), privileged(Crate))]
async fn load(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    for found in Crate::find().filter(CrateColumn::Shop.eq(&*args.shop)).all(ctx.db()).await? {
        let (weight, cost) = (Set(found.weight + args.weight), Set(found.cost + 1));
        CrateActive { weight, cost, ..found.into() }.update(ctx.db()).await?;
    }
    Ok(Applied::done())
}

#[mutator(replay(shops = args.shop), privileged(Crate))]
async fn hide(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    let found = Crate::find_by_id(&*args.id).one(ctx.db()).await?.ok_or_else(|| reject!("there is none"))?;
    CrateActive { hidden: Set(true), ..found.into() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

fn schema() -> Schema {
    Schema::new(tables![Member, Crate], rules().into_inner(), mutators![put, give, load, hide]).expect("a sound schema")
}

/// A user whose crates are those of this owner.
fn user(name: &str, owner: &str) -> Principal {
    Principal::new(Claims { user_id: name.to_owned(), owner_id: owner.to_owned() }, None)
}

/// A mutation of a device of its own, so many milliseconds after the first.
fn made(after: i64, name: &str, (id, owner, weight): (&str, &str, i64)) -> Value {
    let stamp = stamp(1_796_000_000_000 + after, usize::try_from(after + 1).expect("small"));
    json!({
        "name": name, "args": {"shop": "s", "id": id, "owner": owner, "weight": weight},
        "clientMutationId": format!("{after:03}"), "clientID": format!("d{after}"), "mutationID": 1, "hlc": stamp,
    })
}

/// A device that pulls, with the crates that it holds: the weight of each.
struct Reader {
    user: Principal,
    cursor: String,
    crates: BTreeMap<String, i64>,
    /// All rows that it was ever sent, as text.
    heard: String,
}

impl Reader {
    fn of(user: Principal) -> Self {
        Self { user, cursor: String::new(), crates: BTreeMap::new(), heard: String::new() }
    }

    /// One page; whether there is more.
    async fn page(&mut self, world: &World, limit: i64) -> bool {
        let request = json!({"cursor": self.cursor, "deviceId": "reader", "limit": limit});
        let request = serde_json::from_value(request).expect("a request");
        let page = world.engine.pull(&self.user, Wire::Two, request).await.expect("a page");
        let body: Value = serde_json::from_slice(&page.body).expect("JSON");
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        if body["cursorReset"] == true {
            self.crates.clear();
        }
        assert_eq!(list("removedBuckets"), [Value::Null; 0]);
        for gone in list("tombstoned").iter().chain(&list("removed")) {
            self.crates.remove(gone["id"].as_str().expect("an id"));
        }
        for row in list("changed").iter().flat_map(|batch| batch["rows"].as_array().cloned().unwrap_or_default()) {
            self.heard.push_str(&row.to_string());
            let id = row["id"].as_str().expect("an id").to_owned();
            // Devices get 64 bits as text.
            self.crates.insert(id, row["weight"].as_str().and_then(|text| text.parse().ok()).expect("a weight"));
        }
        body["cursor"].as_str().expect("a cursor").clone_into(&mut self.cursor);
        body["hasMore"] == true
    }

    async fn pull(&mut self, world: &World) {
        while self.page(world, 100).await {}
    }
}

/// What is in the database of which a condition is true.
async fn crates(world: &mut World, condition: &str) -> BTreeMap<String, i64> {
    let rows = world.db.rows(&format!("select id, cast(weight as text) from crates where {condition}")).await;
    let text = |cell: Option<String>| cell.unwrap_or_default();
    rows.into_iter()
        .map(|mut row| {
            let weight = text(row.remove(1)).parse().expect("a number");
            (text(row.remove(0)), weight)
        })
        .collect()
}

async fn world(kind: Kind) -> World {
    let mut world = World::of(Database::new(kind).await, schema()).await;
    world.open("s", &["ann", "ben"]).await;
    world
}

async fn push(world: &World, user: &Principal, mutation: Value) -> &'static str {
    told(&world.engine.push(user, Wire::Two, push_of(&[mutation])).await)[0]
}

both![
    inv02_effects_on_rows_that_the_author_cannot_see_reach_their_audience_alone,
    inv03_rows_change_their_audience_when_a_mutation_runs_again,
    inv01_a_device_that_begins_gets_what_came_of_it_and_then_the_rest,
];

/// Synchrotron: a private delta reaches only its audience.
async fn inv02_effects_on_rows_that_the_author_cannot_see_reach_their_audience_alone(kind: Kind) {
    let mut world = world(kind).await;
    let (ann, ben) = (user("ann", "nobody"), user("ben", "o2"));
    for one in [made(1, "put", ("x", "o1", 1)), made(2, "put", ("y", "o2", 1)), made(5, "hide", ("y", "", 0))] {
        assert_eq!(push(&world, &ben, one).await, "applied");
    }
    let (mut author, mut owner) = (Reader::of(ann.clone()), Reader::of(ben.clone()));
    author.pull(&world).await;
    owner.pull(&world).await;
    assert_eq!((author.crates.len(), owner.crates.len()), (1, 2));
    // Late, so that the crate was not hidden yet, and in order.
    for one in [made(4, "load", ("", "", 10)), made(9, "load", ("", "", 100))] {
        assert_eq!(push(&world, &ann, one).await, "applied");
    }
    author.pull(&world).await;
    owner.pull(&world).await;
    assert_eq!(crates(&mut world, "true").await, BTreeMap::from([("x".to_owned(), 111), ("y".to_owned(), 111)]));
    assert_eq!(author.crates, BTreeMap::from([("x".to_owned(), 111)]));
    assert_eq!(owner.crates, crates(&mut world, "true").await);
    let cost = world.db.text("select cast(cost as text) from crates where id = 'y'").await;
    assert_eq!(cost, "102", "a column that no device gets is put back, too");
    for heard in [&author.heard, &owner.heard] {
        assert!(!heard.contains("cost"), "{heard}");
    }
    assert!(!author.heard.contains("\"y\""), "{}", author.heard);
}

/// Synchrotron: shared rows whose audience changes.
async fn inv03_rows_change_their_audience_when_a_mutation_runs_again(kind: Kind) {
    let mut world = world(kind).await;
    let ann = user("ann", "nobody");
    let mut readers: Vec<(&str, Reader)> =
        ["o1", "o2", "o3"].map(|owner| (owner, Reader::of(user("eve", owner)))).into_iter().collect();
    let late = [
        (made(1, "put", ("x", "o1", 1)), "applied", "o1"),
        // Too light.
        (made(20, "give", ("x", "o2", 10)), "rejected", "o1"),
        // Heavy enough then.
        (made(5, "load", ("", "", 10)), "applied", "o2"),
        // Given to another before; the second one takes it from there.
        (made(8, "give", ("x", "o3", 10)), "applied", "o2"),
        // Behind all.
        (made(30, "give", ("x", "o3", 1)), "applied", "o3"),
        // Nobody sees it in the shop any more, but its owner does.
        (made(3, "hide", ("x", "", 0)), "applied", "o3"),
        // And with less weight nobody is given it, and it goes back to its first owner.
        (made(4, "load", ("", "", -20)), "applied", "o1"),
    ];
    for (mutation, status, owner) in late {
        let text = mutation.to_string();
        assert_eq!(push(&world, &ann, mutation).await, status, "{text}");
        for (name, reader) in &mut readers {
            reader.pull(&world).await;
            assert_eq!(reader.crates, crates(&mut world, &format!("owner = '{name}'")).await, "{name} after {text}");
            assert_eq!(reader.crates.len(), usize::from(*name == owner), "{name} after {text}");
        }
    }
    let mut statuses = world.db.rows("select client_mutation_id, status from _nizhal_mutations order by 1").await;
    statuses.retain(|row| row[1].as_deref() == Some("rejected"));
    assert_eq!(statuses, ["008", "020", "030"].map(|id| [Some(id.to_owned()), Some("rejected".to_owned())]));
}

/// Synchrotron: an empty client bootstraps by a snapshot, and goes on with the tail; here it changes between two pages.
async fn inv01_a_device_that_begins_gets_what_came_of_it_and_then_the_rest(kind: Kind) {
    let mut world = world(kind).await;
    let ann = user("ann", "nobody");
    for after in 0..6 {
        let id = format!("c{after}");
        assert_eq!(push(&world, &ann, made(100 + 10 * after, "put", (&id, "o1", 1))).await, "applied");
    }
    let mut reader = Reader::of(user("ben", "nobody"));
    let mut pages = 0;
    while reader.page(&world, 2).await {
        pages += 1;
        if pages < 4 {
            let (what, id) = if pages == 2 { ("hide", "c2") } else { ("load", "") };
            assert_eq!(push(&world, &ann, made(170 - pages, what, (id, "", 5))).await, "applied");
        }
    }
    assert!(pages > 3, "{pages} pages");
    reader.pull(&world).await;
    assert_eq!(reader.crates, crates(&mut world, "not hidden").await);
    let mut fresh = Reader::of(user("ann", "nobody"));
    fresh.pull(&world).await;
    assert_eq!(fresh.crates, reader.crates);
}
