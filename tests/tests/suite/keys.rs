//! A row's key has one text: what a pull spells is what the tombstone says, for every type, on both databases, whoever writes.

use crate::fixture;
use nizhal::Principal;
use nizhal::prelude::*;
use nizhal_core::key;
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::engine::Engine;
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

macro_rules! tables_of {
    ($($Table:ident $active:ident $name:tt: $ty:tt),* $(,)?) => {$(
        #[nizhal::table(name = $name)]
        struct $Table {
            #[nizhal(primary_key)]
            k: $ty,
            owner: String,
        }
    )*};
}
tables_of! {
    ByBool ByBoolActive "by_bool": bool,
    BySmall BySmallActive "by_small": i16,
    ByInt ByIntActive "by_int": i32,
    ByLarge ByLargeActive "by_large": i64,
    ByDecimal ByDecimalActive "by_decimal": Decimal,
    ByText ByTextActive "by_text": String,
    ByUuid ByUuidActive "by_uuid": Uuid,
}

#[nizhal::table(name = "by_times")]
struct ByTimes {
    #[nizhal(primary_key)]
    moment: DateTimeUtc,
    #[nizhal(primary_key)]
    day: Date,
    #[nizhal(primary_key)]
    hour: Time,
    #[nizhal(primary_key)]
    flag: bool,
    owner: String,
}

#[nizhal::table(name = "by_others")]
struct ByOthers {
    #[nizhal(primary_key)]
    money: Decimal,
    #[nizhal(primary_key)]
    uuid: Uuid,
    #[nizhal(primary_key)]
    text: String,
    #[nizhal(primary_key)]
    large: i64,
    owner: String,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        ByBool where ByBool.owner == owner;
        BySmall where BySmall.owner == owner;
        ByInt where ByInt.owner == owner;
        ByLarge where ByLarge.owner == owner;
        ByDecimal where ByDecimal.owner == owner;
        ByText where ByText.owner == owner;
        ByUuid where ByUuid.owner == owner;
        ByTimes where ByTimes.owner == owner;
        ByOthers where ByOthers.owner == owner;
    }
}

const TABLES: [&str; 9] =
    ["by_bool", "by_small", "by_int", "by_large", "by_decimal", "by_text", "by_uuid", "by_times", "by_others"];

async fn engine(database: &Database) -> Engine {
    let tables = tables![ByBool, BySmall, ByInt, ByLarge, ByDecimal, ByText, ByUuid, ByTimes, ByOthers];
    let schema = Schema::new(tables, rules().into_inner(), Vec::new()).expect("a sound schema");
    fixture::engine(database, schema).await
}

/// Names of rows: table and key as text.
type Names = BTreeSet<(String, String)>;

/// A device that knows no more than the cursor, and names rows by what their JSON says.
#[derive(Default)]
struct Reader {
    cursor: String,
}

impl Reader {
    /// Pulls to the end: the rows that came, those deleted, those removed.
    async fn pull(&mut self, engine: &Engine) -> [Names; 3] {
        let mut all = [Names::new(), Names::new(), Names::new()];
        loop {
            let request: PullRequest =
                serde_json::from_value(json!({"cursor": self.cursor, "limit": 7})).expect("a pull");
            let ann = Principal::new(Claims { user_id: "ann".to_owned(), owner_id: "o".to_owned() }, None);
            let page = engine.pull(&ann, Wire::Two, request).await.expect("an answer");
            let page: Value = serde_json::from_slice(&page.body).expect("JSON");
            for table in page["changed"].as_array().into_iter().flatten() {
                let name = table["table"].as_str().expect("a name");
                all[0].extend(
                    table["rows"].as_array().into_iter().flatten().map(|row| (name.to_owned(), key_of(name, row))),
                );
            }
            for (at, field) in [(1, "tombstoned"), (2, "removed")] {
                let text = |value: &Value| value.as_str().expect("a text").to_owned();
                let gone = page[field].as_array().into_iter().flatten();
                all[at].extend(gone.map(|gone| (text(&gone["table"]), text(&gone["id"]))));
            }
            page["cursor"].as_str().expect("a cursor").clone_into(&mut self.cursor);
            if page.get("hasMore").is_none() {
                return all;
            }
        }
    }
}

/// As any client does it: what JSON says, as text.
fn key_of(table: &str, row: &Value) -> String {
    let desc = tables![ByBool, BySmall, ByInt, ByLarge, ByDecimal, ByText, ByUuid, ByTimes, ByOthers];
    let desc = desc.into_iter().find(|desc| desc.name == table).expect("a table of ours");
    let text = |name: &str| match &row[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parts: Vec<String> = desc.key_columns().map(|column| text(column.name)).collect();
    let plain = key::join(&parts);
    assert_eq!(key::of_row(desc, row.as_object().expect("a row")), Some(plain.clone()), "{table}: {row}");
    plain
}

/// A seeded draw; the same values each time.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 16
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.next()).unwrap_or(0) % all.len()].clone()
    }
}

const MOMENTS: [&str; 9] = [
    "2026-01-02T03:04:05Z",
    "2026-01-02T03:04:05.5Z",
    "2026-01-02T03:04:05.000001Z",
    "1969-12-31T23:59:59.999999Z",
    "2026-12-31T23:59:59.9996Z",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    "+12345-06-07T08:09:10.111Z",
    "-0043-03-15T12:00:00Z",
];
const DAYS: [&str; 5] = ["2026-02-28", "0001-01-01", "9999-12-31", "+12345-06-07", "-0043-03-15"];
const HOURS: [&str; 5] = ["00:00:00", "23:59:58.5", "23:59:59.999999", "01:02:03.000100", "12:00:00.120"];
const TEXTS: [&str; 6] = ["a", "A", "", "é😀", "a\"b\\c\n", "[\"x\"]"];
const DECIMALS: [&str; 6] = ["0", "-1.5", "12.50", "0.0000001", "1234567890123456789012345678", "-0.10"];

/// Writes rows of all types, as a mutator would.
async fn fill(db: &sea_orm::DatabaseConnection, draw: &mut Draw) {
    let owner = || Set("ann".to_owned());
    macro_rules! insert {
        ($active:expr) => {
            $active.insert(db).await.expect("an insert")
        };
    }
    for k in [true, false] {
        insert!(ByBoolActive { k: Set(k), owner: owner() });
    }
    for k in [i16::MIN, -1, 0, 7, i16::MAX] {
        insert!(BySmallActive { k: Set(k), owner: owner() });
        insert!(ByIntActive { k: Set(i32::from(k) * 65_536), owner: owner() });
        insert!(ByLargeActive { k: Set(i64::from(k) << 48), owner: owner() });
    }
    for k in DECIMALS {
        insert!(ByDecimalActive { k: Set(k.parse().expect("a decimal")), owner: owner() });
    }
    for k in TEXTS {
        insert!(ByTextActive { k: Set(k.to_owned()), owner: owner() });
    }
    for k in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
        insert!(ByUuidActive { k: Set(Uuid::from_u128(k)), owner: owner() });
    }
    let mut seen = BTreeSet::new();
    while seen.len() < 60 {
        let (moment, day, hour, flag) = (draw.of(&MOMENTS), draw.of(&DAYS), draw.of(&HOURS), draw.of(&[true, false]));
        let (money, text) = (draw.of(&DECIMALS), draw.of(&TEXTS));
        let (uuid, large) = (u128::from(draw.next()) << 64 | u128::from(draw.next()), draw.next().cast_signed());
        if !seen.insert((moment, day, hour, flag)) {
            continue;
        }
        insert!(ByTimesActive {
            moment: Set(moment.parse().expect("a moment")),
            day: Set(day.parse().expect("a day")),
            hour: Set(hour.parse().expect("a time")),
            flag: Set(flag),
            owner: owner(),
        });
        insert!(ByOthersActive {
            money: Set(money.parse().expect("a decimal")),
            uuid: Set(Uuid::from_u128(uuid)),
            text: Set(text.to_owned()),
            large: Set(large),
            owner: owner(),
        });
    }
}

/// Another program's session, set up as no server of ours is.
async fn stranger(database: &Database) -> Connection {
    let mut db = database.connect().await;
    if database.kind() == Kind::Postgres {
        db.execute(
            "set datestyle = 'German, DMY'; set timezone = 'America/St_Johns'; set intervalstyle = 'sql_standard'",
        )
        .await;
    }
    db
}

async fn inv40_a_tombstone_names_the_row_that_was_pulled(kind: Kind) {
    let database = Database::new(kind).await;
    let engine = engine(&database).await;
    let orm = sea_orm::Database::connect(database.url()).await.expect("a database");
    fill(&orm, &mut Draw(40)).await;
    let mut db = stranger(&database).await;
    let mut reader = Reader::default();
    let [rows, gone, removed] = reader.pull(&engine).await;
    assert_eq!((rows.len(), gone.len(), removed.len()), (2 + 15 + 6 + 6 + 4 + 120, 0, 0));
    assert!(rows.contains(&("by_bool".to_owned(), "true".to_owned())), "{rows:?}");

    // Away and back between two pulls: they are simply there.
    for table in TABLES {
        db.execute(&format!("create table kept_{table} as select * from {table}; delete from {table}")).await;
        db.execute(&format!("insert into {table} select * from kept_{table}")).await;
    }
    let [again, gone, removed] = reader.pull(&engine).await;
    assert_eq!((&again, gone, removed), (&rows, Names::new(), Names::new()));

    for table in TABLES {
        db.execute(&format!("update {table} set owner = 'ben'")).await;
    }
    let [none, gone, removed] = reader.pull(&engine).await;
    assert_eq!((none, gone, &removed), (Names::new(), Names::new(), &rows));

    for table in TABLES {
        db.execute(&format!("update {table} set owner = 'ann'")).await;
    }
    let [back, _, _] = reader.pull(&engine).await;
    assert_eq!(back, rows);
    for table in TABLES {
        db.execute(&format!("delete from {table}")).await;
    }
    let [none, gone, removed] = reader.pull(&engine).await;
    assert_eq!((none, &gone, removed), (Names::new(), &rows, Names::new()));
}

/// The texts of one database are those of the other.
async fn texts(kind: Kind) -> Names {
    let database = Database::new(kind).await;
    let engine = engine(&database).await;
    fill(&sea_orm::Database::connect(database.url()).await.expect("a database"), &mut Draw(40)).await;
    let [rows, _, _] = Reader::default().pull(&engine).await;
    rows
}

#[tokio::test]
async fn inv40_a_key_has_the_same_text_on_both_databases() {
    assert_eq!(texts(Kind::Postgres).await, texts(Kind::Sqlite).await);
}

/// What other programs write into a file: other spellings of moments, and the same name in row and tombstone.
#[tokio::test]
async fn inv40_a_moment_that_another_program_spells_has_its_text_too() {
    let database = Database::new(Kind::Sqlite).await;
    let engine = engine(&database).await;
    let mut db = database.connect().await;
    let spelled = [
        "2026-01-02 03:04:05",
        "2026-01-02T03:04:05.25+05:30",
        "2026-01-02T03:04:05.9996-03:30",
        "2026-01-02 03:04:05.7",
        "soon",
    ];
    for moment in spelled {
        db.execute(&format!(
            "insert into by_times values ('{moment}', '2026-01-02', '03:04', 1, 'ann', 1, null, null)"
        ))
        .await;
    }
    let mut reader = Reader::default();
    // `soon` is no moment, so `key::of_row` has no text for it.
    db.execute("delete from by_times where moment = 'soon'").await;
    let [rows, _, _] = reader.pull(&engine).await;
    let moments: Vec<String> =
        rows.iter().map(|(_, id)| serde_json::from_str::<Vec<String>>(id).expect("parts")[0].clone()).collect();
    let wanted = [
        "2026-01-01T21:34:05.250000Z",
        "2026-01-02T03:04:05.000000Z",
        "2026-01-02T03:04:05.700000Z",
        "2026-01-02T06:34:05.999600Z",
    ];
    assert_eq!(moments, wanted);
    db.execute("delete from by_times").await;
    let [_, gone, _] = reader.pull(&engine).await;
    assert_eq!(gone, rows);
}

#[tokio::test]
async fn on_postgres() {
    inv40_a_tombstone_names_the_row_that_was_pulled(Kind::Postgres).await;
}

#[tokio::test]
async fn on_sqlite() {
    inv40_a_tombstone_names_the_row_that_was_pulled(Kind::Sqlite).await;
}
