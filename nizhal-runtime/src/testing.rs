//! A small app for the unit tests of this crate: notes of a shop, described by hand as the macros would.

use crate::{Nizhal, Server, auth::issue_token, environment::Environment, settings::Settings};
use nizhal_core::{
    Actor, Applied, ColumnDefault, ColumnDesc, ColumnIndex, DateTimeUtc, Error, Merge, MutatorDesc, MutatorEntry,
    ReplayEntry, Rule, RuleTable, Rules, SqlType, TableDesc, Uuid,
};
use sea_orm::{ConnectionTrait, Statement};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Duration,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) owner_id: String,
    pub(crate) shop_id: String,
}

impl Actor for Claims {
    fn user_id(&self) -> &str {
        &self.user_id
    }
    fn owner_id(&self) -> &str {
        &self.owner_id
    }
}

const fn column(name: &'static str, sql: SqlType) -> ColumnDesc {
    ColumnDesc { sql, ..ColumnDesc::of::<String>(name) }
}

pub(crate) static NOTES: TableDesc = TableDesc {
    name: "notes",
    columns: &[
        ColumnDesc { doc: " The client's id.", ..column("id", SqlType::Text) },
        column("shop_id", SqlType::Text),
        ColumnDesc { nullable: true, ..column("text", SqlType::Text) },
        ColumnDesc { default: Some(ColumnDefault::Int(0)), ..column("price", SqlType::Numeric) },
        ColumnDesc { private: true, nullable: true, ..column("margin_secret", SqlType::Numeric) },
    ],
    key: &[ColumnIndex::new(0)],
    merge: Merge::Field,
    server_only: false,
    doc: " What a shop notes.",
};

pub(crate) static AUDITORS: TableDesc = TableDesc {
    name: "auditors_secret",
    columns: &[column("id", SqlType::Text)],
    key: &[ColumnIndex::new(0)],
    merge: Merge::Lww,
    server_only: true,
    doc: "",
};

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddNote {
    client_id: String,
    #[allow(dead_code, reason = "only its schema is looked at")]
    text: Option<String>,
    shop: Option<String>,
}

fn add_note() -> MutatorEntry {
    MutatorEntry {
        desc: MutatorDesc { name: "addNote", privileged: &[], server: false, replay: None, doc: " Notes something." },
        schema: |generator| generator.subschema_for::<AddNote>(),
        replay: ReplayEntry::NONE,
        call: |parts, args| {
            Box::pin(async move {
                let args: AddNote = match serde_json::from_str(args.get()) {
                    Ok(args) => args,
                    Err(error) => return (parts, Err(Error::InvalidArgs(error.to_string()))),
                };
                if args.client_id == "panic" {
                    panic!("a mutator's own fault");
                }
                if args.client_id == "slow" {
                    // As one that merges a large document: it gives its thread to nobody meanwhile.
                    std::thread::sleep(Duration::from_millis(300));
                }
                if args.client_id == "no" {
                    return (parts, Err(Error::rejected("no")));
                }
                let shop = match args.shop {
                    Some(shop) => shop,
                    None => parts.principal.claims::<Claims>().map(|claims| claims.shop_id.clone()).unwrap_or_default(),
                };
                let sql = "INSERT INTO notes (id, shop_id) VALUES ($1, $2)";
                let insert = Statement::from_sql_and_values(
                    parts.tx.get_database_backend(),
                    sql,
                    [args.client_id.into(), shop.into()],
                );
                match parts.tx.execute_raw(insert).await {
                    Ok(_) => (parts, Ok(Applied::done())),
                    Err(error) => (parts, Err(error.into())),
                }
            })
        },
    }
}

fn table(scope: usize) -> RuleTable {
    RuleTable { table: &NOTES, scope: vec![ColumnIndex::new(scope)], filters: Vec::new() }
}

/// One rule by the claim `shopId`, one by the claim `userId`: their values may look alike.
pub(crate) fn rules() -> Vec<Rule> {
    let rules = Rules::<Claims>::new()
        .rule("myShop", " The shop's notes.", |rule| {
            rule.claim("shop_id", |claims: &Claims| &claims.shop_id);
        })
        .rule("mine", "", |rule| {
            rule.claim("user_id", |claims: &Claims| &claims.user_id);
        });
    let mut rules = rules.into_inner();
    rules[0].tables.push(table(1));
    rules
}

pub(crate) fn schema() -> crate::schema::Schema {
    crate::schema::Schema::new(vec![&NOTES, &AUDITORS], rules(), vec![add_note()]).unwrap()
}

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A clock that tests move.
#[derive(Clone)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds, Relaxed);
    }
}

impl Environment for Clock {
    fn now(&self) -> DateTimeUtc {
        DateTimeUtc::from_timestamp(self.0.load(Relaxed), 0).unwrap()
    }
    fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

pub(crate) fn clock() -> Clock {
    Clock(Arc::new(AtomicI64::new(1_800_000_000)))
}

/// The app over an in-memory database of its own.
pub(crate) fn app(clock: &Clock) -> Nizhal {
    let mut app = Nizhal::app("notes")
        .tables(vec![&NOTES, &AUDITORS])
        .mutators(vec![add_note()])
        .rules(Rules::<Claims>::new())
        .settings(Settings::defaults("notes"))
        .database_url("sqlite::memory:")
        .auth_secret(SECRET)
        .environment(clock.clone());
    app.replace_rules(rules());
    app
}

pub(crate) async fn server(app: Nizhal) -> Server {
    app.server().await.unwrap_or_else(|error| panic!("{}", error.sentence()))
}

/// A token of this user in this shop, good for a minute.
pub(crate) fn token(user: &str, shop: &str, clock: &Clock) -> String {
    let claims = Claims { user_id: user.to_owned(), owner_id: "o1".to_owned(), shop_id: shop.to_owned() };
    issue_token(SECRET.as_bytes(), &claims, Duration::from_secs(60), clock.now()).unwrap()
}
