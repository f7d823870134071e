//! Invariants 2 and 18, by random values: what two tenants are called never makes one bucket of two.
//!
//! The oracle is plain Rust: a row is an actor's where the texts are equal, byte by byte.

use crate::fixture::{self, push_of};
use nizhal::prelude::*;
use nizhal::{Bucket, Principal, SystemEnvironment};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind, try_all};
use proptest::{collection::vec, prelude::*, test_runner::TestCaseError};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "grants", server_only)]
struct Grant {
    #[nizhal(primary_key)]
    id: String,
    user_id: String,
    owner_id: String,
    place: String,
    number: i64,
}

#[nizhal::table(name = "spots")]
struct Spot {
    #[nizhal(primary_key)]
    id: String,
    owner_id: String,
    place: String,
}

#[nizhal::table(name = "points")]
struct Point {
    #[nizhal(primary_key)]
    id: String,
    number: i64,
}

#[nizhal::table(name = "letters")]
struct Letter {
    #[nizhal(primary_key)]
    id: String,
    user_id: String,
}

sync_rules! {
    rules for Claims;

    rule spots(place, owner_id) {
        place in Grant.place where Grant.user_id == actor.user_id && Grant.owner_id == actor.owner_id;
        owner_id = actor.owner_id;
        Spot where Spot.place == place && Spot.owner_id == owner_id;
    }

    rule points(number) {
        number in Grant.number where Grant.user_id == actor.user_id && Grant.owner_id == actor.owner_id;
        Point where Point.number == number;
    }

    rule letters(user_id) {
        user_id = actor.user_id;
        Letter where Letter.user_id == user_id;
    }
}

/// A row of each table, and who is granted what.
#[nizhal::args]
#[derive(Clone)]
struct Rows {
    grants: Vec<(String, String, String, i64)>,
    spots: Vec<(String, String, String)>,
    points: Vec<(String, i64)>,
    letters: Vec<(String, String)>,
}

async fn write(ctx: &mut Ctx<Claims>, rows: Rows) -> Result<Applied> {
    for (at, (user_id, owner_id, place, number)) in rows.grants.into_iter().enumerate() {
        let id = Set(at.to_string());
        GrantActive { id, user_id: Set(user_id), owner_id: Set(owner_id), place: Set(place), number: Set(number) }
            .insert(ctx.db())
            .await?;
    }
    for (id, owner_id, place) in rows.spots {
        SpotActive { id: Set(id), owner_id: Set(owner_id), place: Set(place) }.insert(ctx.db()).await?;
    }
    for (id, number) in rows.points {
        PointActive { id: Set(id), number: Set(number) }.insert(ctx.db()).await?;
    }
    for (id, user_id) in rows.letters {
        LetterActive { id: Set(id), user_id: Set(user_id) }.insert(ctx.db()).await?;
    }
    Ok(Applied::done())
}

/// By an app that takes the responsibility.
#[mutator(privileged(Grant, Spot, Point, Letter))]
async fn fill(ctx: &mut Ctx<Claims>, args: Rows) -> Result<Applied> {
    write(ctx, args).await
}

/// By anybody.
#[mutator]
async fn put(ctx: &mut Ctx<Claims>, args: Rows) -> Result<Applied> {
    write(ctx, args).await
}

/// One case: users and owners, places, numbers.
#[derive(Clone, Debug)]
struct Case {
    users: Vec<(String, String)>,
    places: Vec<String>,
    numbers: Vec<i64>,
    /// Which user is granted which place and number.
    grants: Vec<(usize, usize, usize)>,
}

/// Texts that look alike to somebody: in case, spelling, spaces, separators, or up to a limit.
fn text() -> impl Strategy<Value = String> {
    let alike = [
        "a",
        "A",
        "a ",
        " a",
        "á",
        "a\u{301}",
        "ａ",
        "aa",
        "",
        " ",
        "a\u{200b}",
        "ß",
        "ss",
        "İ",
        "i",
        "ı",
        "Σ",
        "ς",
        "1",
        "01",
        "1.0",
        "1e0",
        "+1",
        "-0",
        "0",
        "١",
        "0x1",
        "1_0",
        "NaN",
        "null",
        "true",
        "a:b",
        "a/b",
        "a%2Fb",
        "a,b",
        "a;b",
        "a\"b",
        "a'b",
        "a\\b",
        "a\",\"b",
        "[\"a\"]",
        "[\"a\",\"b\"]",
        "{}",
        "a\nb",
        "a\tb",
        "a\u{1f}b",
        "a\u{7f}",
        "a+b",
        "a-b",
        "spots:a",
        "*",
        "%",
        "_",
        "a%",
        "$1",
        "?",
        "\u{2028}",
        "\u{feff}a",
        "\u{10ffff}",
        "😀",
        "\u{fffd}",
        "a\0",
        "a\0b",
        "\0",
    ];
    let long = (490_usize..1_200, "[a-b]{1}").prop_map(|(length, end)| "x".repeat(length) + &end);
    let joined = vec(prop::sample::select(alike.to_vec()), 1..4).prop_map(|parts| parts.concat());
    prop_oneof![4 => prop::sample::select(alike.to_vec()).prop_map(str::to_owned), 2 => joined, 1 => long, 1 => any::<String>()]
}

fn number() -> impl Strategy<Value = i64> {
    let near =
        [0, 1, -1, 10, 9_007_199_254_740_992, 9_007_199_254_740_993, i64::MAX, i64::MAX - 1, i64::MIN, i64::MIN + 1];
    prop_oneof![prop::sample::select(near.to_vec()), any::<i64>()]
}

/// A text that somebody may take for this one: by its case, spaces, spelling, or a separator within it.
fn twisted(text: &str, twist: usize) -> String {
    match twist {
        0 => text.to_owned(),
        1 => text.to_uppercase(),
        2 => text.to_lowercase(),
        3 => format!("{text} "),
        4 => format!(" {text}"),
        5 => format!("0{text}"),
        6 => format!("{text}.0"),
        7 => format!("{text}\u{301}"),
        8 => format!("{text}\0"),
        9 => format!("{text}/{text}"),
        10 => format!("{text},{text}"),
        11 => json!(text).to_string(),
        12 => json!([text]).to_string(),
        13 => text.replace('a', "%61"),
        14 => format!("{text}\u{200b}"),
        _ => text.chars().rev().collect(),
    }
}

/// Most values of a case are twists of one text, so that they meet what they could be taken for.
fn case() -> impl Strategy<Value = Case> {
    let twists = || 0..16_usize;
    let users = (text(), vec((twists(), twists()), 2..5)).prop_map(|(text, twists)| {
        twists.into_iter().map(|(user, owner)| (twisted(&text, user), twisted(&text, owner))).collect()
    });
    let places = (text(), vec(twists(), 2..5), text()).prop_map(|(text, twists, other)| {
        twists.into_iter().map(|twist| twisted(&text, twist)).chain([other]).collect()
    });
    let grants = vec((0..8_usize, 0..8_usize, 0..8_usize), 1..6);
    (users, places, vec(number(), 2..4), grants).prop_map(|(users, places, numbers, grants)| Case {
        users,
        places,
        numbers,
        grants,
    })
}

/// The databases' own limits: Postgres keeps no U+0000, and an actor has a name.
fn is_kept(kind: Kind, text: &str) -> bool {
    kind == Kind::Sqlite || !text.contains('\0')
}

struct World {
    kind: Kind,
    engine: Engine,
    db: tokio::sync::Mutex<Connection>,
    _database: Database,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let tables = tables![Grant, Spot, Point, Letter];
        let schema = Arc::new(Schema::new(tables, rules().into_inner(), mutators![fill, put]).expect("a sound schema"));
        let store = fixture::store(&database, &schema, 2).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        let db = tokio::sync::Mutex::new(database.connect().await);
        Self { kind, engine, db, _database: database }
    }

    /// What this mutation comes to.
    async fn push(&self, (user, owner): &(String, String), name: &str, rows: &Rows) -> String {
        let mutation = json!({"name": name, "clientMutationId": Uuid::now_v7(), "args": rows});
        let reply = self.engine.push(&actor(user, owner), Wire::Two, push_of(&[mutation])).await;
        super::world::told(&reply).join(" ")
    }

    /// The ids that a device of this user is sent, and those that it is told are gone.
    async fn pull(&self, (user, owner): &(String, String), cursor: &mut String) -> [BTreeSet<String>; 2] {
        let request: PullRequest = serde_json::from_value(json!({"cursor": cursor, "deviceId": "d"})).expect("a pull");
        let page = self.engine.pull(&actor(user, owner), Wire::Two, request).await.expect("a page");
        let said: Value = serde_json::from_slice(&page.body).expect("JSON");
        assert!(said["hasMore"] != true, "a case fits a page");
        *cursor = said["cursor"].as_str().expect("a cursor").to_owned();
        let ids = |rows: &Value| {
            rows.as_array()
                .into_iter()
                .flatten()
                .map(|row| row["id"].as_str().expect("an id").to_owned())
                .collect::<Vec<_>>()
        };
        let sent = said["changed"].as_array().into_iter().flatten().flat_map(|batch| ids(&batch["rows"])).collect();
        let gone = ["tombstoned", "removed"].into_iter().flat_map(|list| ids(&said[list])).collect();
        [sent, gone]
    }

    async fn run(&self, sql: &str) {
        self.db.lock().await.execute(sql).await;
    }

    async fn hold(&self, case: Case) -> Result<(), TestCaseError> {
        self.run("delete from grants; delete from spots; delete from points; delete from letters; delete from _nizhal_tombstones").await;
        let kept = |text: &String| is_kept(self.kind, text);
        let users: BTreeSet<_> = case.users.iter().filter(|(user, owner)| kept(user) && kept(owner)).cloned().collect();
        let places: BTreeSet<_> = case.places.iter().filter(|place| kept(place)).cloned().collect();
        let numbers: BTreeSet<_> = case.numbers.iter().copied().collect();
        prop_assume!(!users.is_empty() && !places.is_empty());
        let (users, places, numbers): (Vec<_>, Vec<_>, Vec<_>) =
            (users.into_iter().collect(), places.into_iter().collect(), numbers.into_iter().collect());
        let grants = case.grants.iter().map(|(user, place, number)| {
            let (user, owner) = users[user % users.len()].clone();
            (user, owner, places[place % places.len()].clone(), numbers[number % numbers.len()])
        });
        let grants: Vec<_> = grants.collect();
        let owners: BTreeSet<&String> = users.iter().map(|(_, owner)| owner).collect();
        let spots = owners.iter().flat_map(|owner| places.iter().map(move |place| ((*owner).clone(), place.clone())));
        let rows = Rows {
            grants: grants.clone(),
            spots: spots.enumerate().map(|(at, (owner, place))| (format!("s{at}"), owner, place)).collect(),
            points: numbers.iter().enumerate().map(|(at, number)| (format!("p{at}"), *number)).collect(),
            letters: users.iter().enumerate().map(|(at, (user, _))| (format!("l{at}"), user.clone())).collect(),
        };
        keys_differ(&rows)?;
        prop_assert_eq!(self.push(&users[0], "fill", &rows).await, "applied", "{:?}", case);

        let mut cursors = vec![String::new(); users.len()];
        for (user, cursor) in users.iter().zip(&mut cursors) {
            let [sent, gone] = self.pull(user, cursor).await;
            prop_assert_eq!(&sent, &seen(&rows, user), "{:?} is sent", user);
            prop_assert!(gone.is_empty());
        }
        self.run("delete from spots where id <> 's0'; delete from points; update letters set id = id || 'x'").await;
        for (user, cursor) in users.iter().zip(&mut cursors) {
            let [sent, gone] = self.pull(user, cursor).await;
            let (mut before, mut renamed) = (seen(&rows, user), BTreeSet::new());
            before.remove("s0");
            renamed.extend(before.iter().filter(|id| id.starts_with('l')).map(|id| format!("{id}x")));
            prop_assert_eq!(gone, before, "{:?} loses", user);
            prop_assert_eq!(sent, renamed, "{:?} gets", user);
        }
        self.writes(&users, &rows).await
    }

    /// Each user writes each row anew: it applies where the row is the user's.
    async fn writes(&self, users: &[(String, String)], rows: &Rows) -> Result<(), TestCaseError> {
        let none = Rows { grants: Vec::new(), spots: Vec::new(), points: Vec::new(), letters: Vec::new() };
        let singles =
            rows.spots.iter().map(|spot| (spot.0.clone(), Rows { spots: vec![spot.clone()], ..none.clone() }));
        let points =
            rows.points.iter().map(|point| (point.0.clone(), Rows { points: vec![point.clone()], ..none.clone() }));
        let letters = rows
            .letters
            .iter()
            .map(|letter| (letter.0.clone(), Rows { letters: vec![letter.clone()], ..none.clone() }));
        for (id, mut single) in singles.chain(points).chain(letters) {
            for (at, user) in users.iter().enumerate() {
                let fresh = format!("{id}-{at}");
                single.spots.iter_mut().for_each(|spot| spot.0.clone_from(&fresh));
                single.points.iter_mut().for_each(|point| point.0.clone_from(&fresh));
                single.letters.iter_mut().for_each(|letter| letter.0.clone_from(&fresh));
                let wanted = if seen(rows, user).contains(&id) { "applied" } else { "forbidden" };
                prop_assert_eq!(self.push(user, "put", &single).await, wanted, "{:?} writes {:?}", user, single);
            }
        }
        Ok(())
    }
}

fn actor(user: &str, owner: &str) -> Principal {
    Principal::new(Claims { user_id: user.to_owned(), owner_id: owner.to_owned() }, None)
}

/// The ids that a user may see.
fn seen(rows: &Rows, (user, owner): &(String, String)) -> BTreeSet<String> {
    let granted = || rows.grants.iter().filter(|(of, by, ..)| of == user && by == owner);
    let spots =
        rows.spots.iter().filter(|(_, by, place)| by == owner && granted().any(|(_, _, held, _)| held == place));
    let points = rows.points.iter().filter(|(_, number)| granted().any(|(.., held)| held == number));
    let letters = rows.letters.iter().filter(|(_, of)| of == user);
    let ids = spots.map(|spot| &spot.0).chain(points.map(|point| &point.0)).chain(letters.map(|letter| &letter.0));
    ids.cloned().collect()
}

/// Two buckets have two keys, in the database and on both wires.
fn keys_differ(rows: &Rows) -> Result<(), TestCaseError> {
    let spots: BTreeSet<_> = rows.spots.iter().map(|(_, owner, place)| vec![place.clone(), owner.clone()]).collect();
    let buckets = || spots.iter().map(|params| Bucket::new("spots", params.clone()));
    for named in [Bucket::key as fn(&Bucket) -> String, Bucket::name, Bucket::qualified] {
        let names: BTreeSet<String> = buckets().map(|bucket| named(&bucket)).collect();
        prop_assert_eq!(names.len(), spots.len(), "{:?}", spots);
    }
    Ok(())
}

async fn inv02_inv18_two_values_are_two_buckets(kind: Kind) {
    let world = World::new(kind).await;
    try_all(40, &case(), async |case| world.hold(case).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres() {
    inv02_inv18_two_values_are_two_buckets(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite() {
    inv02_inv18_two_values_are_two_buckets(Kind::Sqlite).await;
}

/// A token may name what Postgres cannot keep: nobody is granted it, and nothing fails for others.
#[tokio::test]
async fn inv32_a_claim_that_the_database_cannot_keep_sees_nothing() {
    for kind in [Kind::Postgres, Kind::Sqlite] {
        let world = World::new(kind).await;
        let eve = ("a\0".to_owned(), "a\0".to_owned());
        let letter = |user: &str| Rows {
            letters: vec![(user.to_owned(), user.to_owned())],
            grants: vec![],
            spots: vec![],
            points: vec![],
        };
        let ann = ("a".to_owned(), "a".to_owned());
        assert_eq!(world.push(&ann, "fill", &letter("a")).await, "applied");
        let request: PullRequest = serde_json::from_value(json!({"cursor": ""})).expect("a pull");
        if let Ok(page) = world.engine.pull(&actor(&eve.0, &eve.1), Wire::Two, request).await {
            let said: Value = serde_json::from_slice(&page.body).expect("JSON");
            assert_eq!(said["changed"], json!([]), "{kind:?}");
        }
        assert_ne!(world.push(&eve, "put", &letter("a")).await, "applied", "{kind:?}");
        assert_eq!(world.pull(&ann, &mut String::new()).await[0], BTreeSet::from(["a".to_owned()]));
    }
}
