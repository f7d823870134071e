//! A small app on a device, and a server that is nothing but the pages that a test writes.

use nizhal::prelude::*;
use nizhal::{MutatorEntry, Principal, TableDesc};
use nizhal_client::schema::Schema;
use nizhal_client::session::PullStored;
use nizhal_client::store::{
    ChangedTables, Draft, Location, MutateError, Notice, OtherUser, PullAnswer, SqliteStore, Store as _, StoreError,
    Written,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[nizhal::claims]
pub(crate) struct Claims {
    pub(crate) user_id: String,
    pub(crate) owner_id: String,
}

#[nizhal::table(name = "items")]
pub(crate) struct Item {
    #[nizhal(primary_key)]
    pub(crate) id: String,
    pub(crate) shop: String,
    pub(crate) name: String,
    pub(crate) count: i64,
    #[nizhal(unique)]
    pub(crate) code: Option<String>,
}

/// In two buckets of one rule.
#[nizhal::table(name = "transfers")]
pub(crate) struct Transfer {
    #[nizhal(primary_key)]
    pub(crate) id: String,
    pub(crate) from_shop: String,
    pub(crate) to_shop: String,
}

/// A composite key.
#[nizhal::table(name = "stock")]
pub(crate) struct Stock {
    #[nizhal(primary_key)]
    pub(crate) shop: String,
    #[nizhal(primary_key)]
    pub(crate) number: i32,
    pub(crate) amount: i64,
}

/// With its `Tag`, a key of every type that a key can have.
#[nizhal::table(name = "slots")]
pub(crate) struct Slot {
    #[nizhal(primary_key)]
    pub(crate) day: Date,
    #[nizhal(primary_key)]
    pub(crate) moment: DateTimeUtc,
    #[nizhal(primary_key)]
    pub(crate) time: Time,
    #[nizhal(primary_key)]
    pub(crate) open: bool,
    pub(crate) shop: String,
    pub(crate) note: String,
    pub(crate) small: i32,
}

#[nizhal::table(name = "tags")]
pub(crate) struct Tag {
    #[nizhal(primary_key)]
    pub(crate) of: Uuid,
    #[nizhal(primary_key)]
    pub(crate) price: Decimal,
    #[nizhal(primary_key)]
    pub(crate) number: i64,
    pub(crate) shop: String,
    pub(crate) note: String,
}

#[nizhal::table(name = "members", server_only)]
pub(crate) struct Member {
    #[nizhal(primary_key)]
    pub(crate) shop: String,
    #[nizhal(primary_key)]
    pub(crate) user_id: String,
}

sync_rules! {
    pub(crate) rules for Claims;

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Item where Item.shop == shop;
        Stock where Stock.shop == shop;
        Slot where Slot.shop == shop;
        Tag where Tag.shop == shop;
        Seat where Seat.shop == shop;
    }

    rule sent(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Transfer where Transfer.from_shop == shop;
    }

    #[on_demand(ttl = "1h")]
    rule received(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Transfer where Transfer.to_shop == shop;
    }
}

#[nizhal::args]
pub(crate) struct Put {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) code: Option<String>,
}

/// Adds an item; refuses a second of its id.
#[mutator]
pub(crate) async fn put(ctx: &mut Ctx<Claims>, args: Put) -> Result<Applied> {
    if Item::find_by_id(&*args.id).one(ctx.db()).await?.is_some() {
        return Err(reject!("there is one"));
    }
    ItemActive {
        id: Set(args.id),
        shop: Set("s1".to_owned()),
        name: Set(args.name),
        count: Set(0),
        code: Set(args.code),
    }
    .insert(ctx.db())
    .await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct Named {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// Renames an item that is there.
#[mutator]
pub(crate) async fn rename(ctx: &mut Ctx<Claims>, args: Named) -> Result<Applied> {
    let found = Item::find_by_id(&*args.id).one(ctx.db()).await?.ok_or_else(|| reject!("no such item"))?;
    let mut item = found.into_active_model();
    item.name = Set(args.name);
    item.update(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct Of {
    pub(crate) id: String,
}

/// Renames an item without a look at it.
#[mutator]
pub(crate) async fn relabel(ctx: &mut Ctx<Claims>, args: Named) -> Result<Applied> {
    ItemActive { id: Set(args.id), name: Set(args.name), ..Default::default() }.update(ctx.db()).await?;
    Ok(Applied::done())
}

/// Counts one more.
#[mutator]
pub(crate) async fn bump(ctx: &mut Ctx<Claims>, args: Of) -> Result<Applied> {
    let raw = sea_orm::Statement::from_sql_and_values(
        ctx.db().get_database_backend(),
        "update items set count = count + 1 where id = $1",
        [args.id.into()],
    );
    ctx.db().execute_raw(raw).await?;
    Ok(Applied::done())
}

/// Takes an item away.
#[mutator]
pub(crate) async fn drop_item(ctx: &mut Ctx<Claims>, args: Of) -> Result<Applied> {
    Item::delete_many().filter(ItemColumn::Id.eq(args.id)).exec(ctx.db()).await?;
    Ok(Applied::done())
}

/// Gives an item another key, by raw SQL that replaces whatever is in the way.
#[mutator]
pub(crate) async fn rekey(ctx: &mut Ctx<Claims>, args: Named) -> Result<Applied> {
    let raw = sea_orm::Statement::from_sql_and_values(
        ctx.db().get_database_backend(),
        "update or replace items set id = $2 where id = $1",
        [args.id.into(), args.name.into()],
    );
    ctx.db().execute_raw(raw).await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct Book {
    pub(crate) day: Date,
    pub(crate) moment: DateTimeUtc,
    pub(crate) time: Time,
    pub(crate) open: bool,
    pub(crate) of: Uuid,
    pub(crate) price: Decimal,
    pub(crate) number: i64,
}

/// Makes a row with a key of every type.
#[mutator]
pub(crate) async fn book(ctx: &mut Ctx<Claims>, args: Book) -> Result<Applied> {
    let (shop, note) = ("s1".to_owned(), "mine".to_owned());
    SlotActive {
        day: Set(args.day),
        moment: Set(args.moment),
        time: Set(args.time),
        open: Set(args.open),
        shop: Set(shop.clone()),
        note: Set(note.clone()),
        small: Set(0),
    }
    .insert(ctx.db())
    .await?;
    TagActive { of: Set(args.of), price: Set(args.price), number: Set(args.number), shop: Set(shop), note: Set(note) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

/// Asks a table that stays on the server.
#[mutator]
pub(crate) async fn careful(ctx: &mut Ctx<Claims>, args: Named) -> Result<Applied> {
    let member = Member::find().filter(MemberColumn::Shop.eq(args.id)).one(ctx.db()).await?;
    member.map(|_| Applied::done()).ok_or_else(|| reject!("not a member"))
}

/// Fails as no mutator should.
#[mutator]
pub(crate) async fn faulty(_ctx: &mut Ctx<Claims>, _args: Of) -> Result<Applied> {
    panic!("a mutator's mistake")
}

#[nizhal::args]
pub(crate) struct Raw {
    /// Statements as they are, after an item of this id was made.
    pub(crate) sql: Vec<String>,
    pub(crate) id: String,
    /// Whether it goes on after an error, …
    pub(crate) pass_over: bool,
    /// … and refuses in the end.
    pub(crate) refuse: bool,
}

/// Does by raw SQL what no mutator should.
#[mutator]
pub(crate) async fn raw(ctx: &mut Ctx<Claims>, args: Raw) -> Result<Applied> {
    let item = |id: String| ItemActive {
        id: Set(id),
        shop: Set("s1".to_owned()),
        name: Set("raw".to_owned()),
        count: Set(0),
        code: Set(None),
    };
    item(args.id.clone()).insert(ctx.db()).await?;
    for sql in &args.sql {
        match ctx.db().execute_unprepared(sql).await {
            Err(error) if !args.pass_over => return Err(error.into()),
            _ => {}
        }
    }
    if args.refuse {
        return Err(reject!("it was asked to"));
    }
    Ok(Applied::done())
}

#[nizhal::args]
pub(crate) struct Nothing {}

/// A row under an id of its own making.
#[mutator]
pub(crate) async fn make(ctx: &mut Ctx<Claims>, _args: Nothing) -> Result<Applied> {
    let (id, lucky) = (ctx.new_id().to_string(), ctx.random().below(1_000));
    let name = format!("{lucky} {}", ctx.now());
    let count = i64::try_from(lucky).unwrap_or(0);
    ItemActive { id: Set(id), shop: Set("s1".to_owned()), name: Set(name), count: Set(count), code: Set(None) }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

#[nizhal::table(name = "seats", merge = "replay")]
pub(crate) struct Seat {
    #[nizhal(primary_key)]
    pub(crate) shop: String,
    #[nizhal(primary_key)]
    pub(crate) seat: String,
    pub(crate) holder: String,
}

#[nizhal::args]
pub(crate) struct Sit {
    pub(crate) shop: String,
    pub(crate) seat: String,
    pub(crate) holder: String,
}

/// Takes a free seat; what comes before it, offline, may be before it in time too.
#[mutator(replay(shops = args.shop))]
pub(crate) async fn sit(ctx: &mut Ctx<Claims>, args: Sit) -> Result<Applied> {
    let Sit { shop, seat, holder } = args;
    if Seat::find_by_id((shop.clone(), seat.clone())).one(ctx.db()).await?.is_some() {
        return Err(reject!("the seat is taken"));
    }
    SeatActive { shop: Set(shop), seat: Set(seat), holder: Set(holder) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// Panics unless it finds the seat.
#[mutator(replay(shops = args.shop))]
pub(crate) async fn inspect(ctx: &mut Ctx<Claims>, args: Sit) -> Result<Applied> {
    let seat = Seat::find_by_id((args.shop, args.seat)).one(ctx.db()).await?;
    assert_eq!(seat.expect("the seat is there").holder, args.holder);
    Ok(Applied::done())
}

pub(crate) fn tables() -> Vec<&'static TableDesc> {
    tables![Item, Transfer, Stock, Slot, Tag, Seat, Member]
}

pub(crate) fn mutators() -> Vec<MutatorEntry> {
    mutators![put, rename, relabel, bump, book, drop_item, rekey, careful, faulty, raw, make, sit, inspect]
}

static IDS: AtomicU64 = AtomicU64::new(1);

pub(crate) fn new_id() -> Uuid {
    Uuid::from_u128(u128::from(IDS.fetch_add(1, Ordering::Relaxed)))
}

pub(crate) fn principal(user: &str) -> Principal {
    Principal::new(Claims { user_id: user.to_owned(), owner_id: "o1".to_owned() }, None)
}

/// A device whose server is the test.
pub(crate) struct Device {
    pub(crate) store: SqliteStore,
    pub(crate) notices: Vec<Notice>,
}

impl Device {
    pub(crate) async fn new() -> Self {
        Self::open(&Location::Memory, OtherUser::default(), "ana").await.expect("a store in memory")
    }

    pub(crate) async fn open(place: &Location, other: OtherUser, user: &str) -> Result<Self, StoreError> {
        Self::with(place, other, user, tables(), rules().into_inner()).await
    }

    pub(crate) async fn with(
        place: &Location,
        other: OtherUser,
        user: &str,
        tables: Vec<&'static TableDesc>,
        rules: Vec<nizhal_core::Rule>,
    ) -> Result<Self, StoreError> {
        let schema = Arc::new(Schema::new(&tables, rules, mutators()).expect("the app's parts fit"));
        let opened = Box::pin(SqliteStore::open(place, other, schema, principal(user), &new_id)).await?;
        Ok(Self { store: opened.0, notices: opened.1 })
    }

    pub(crate) async fn try_mutate(&self, name: &str, args: Value) -> Result<Written, MutateError> {
        self.try_mutate_as(&new_id().to_string(), name, args).await
    }

    pub(crate) async fn try_mutate_as(&self, id: &str, name: &str, args: Value) -> Result<Written, MutateError> {
        let now = "2026-11-21T10:00:00.123456Z".parse().expect("a time");
        let draft = Draft {
            id: id.to_owned(),
            name: name.to_owned(),
            args: args.to_string(),
            now,
            local: true,
            depends_on: Vec::new(),
            replaces: None,
        };
        self.store.mutate(draft).await
    }

    pub(crate) async fn mutate(&self, name: &str, args: Value) {
        self.try_mutate(name, args).await.expect("the mutation is written");
    }

    /// A page as the server would answer it now.
    pub(crate) async fn pull(&self, page: Value) -> (PullStored, ChangedTables) {
        self.try_pull(page).await.expect("the page is stored")
    }

    pub(crate) async fn try_pull(&self, page: Value) -> Result<(PullStored, ChangedTables), StoreError> {
        let asked = self.store.begin_pull().await.expect("a cursor");
        let answer = PullAnswer { page: page.to_string().into_bytes(), ..PullAnswer::default() };
        self.store.store_pull(&asked, answer, &new_id).await
    }

    pub(crate) async fn items(&self) -> Vec<(String, String, i64)> {
        let items = Item::find().order_by_asc(ItemColumn::Id).all(self.store.reads()).await.expect("items are read");
        items.into_iter().map(|item| (item.id, item.name, item.count)).collect()
    }

    pub(crate) async fn names(&self) -> String {
        self.items().await.into_iter().map(|(id, name, _)| format!("{id}={name}")).collect::<Vec<_>>().join(" ")
    }

    pub(crate) async fn outbox(&self) -> Vec<nizhal_core::wire::Mutation> {
        self.store.batch(1_000, usize::MAX).await.expect("the outbox is read")
    }

    /// The server's last word on the first `count` of the outbox.
    pub(crate) async fn answer(&self, count: usize, status: &str) {
        let results: Vec<_> = self.outbox().await[..count]
            .iter()
            .map(|mutation| {
                let id = &mutation.client_mutation_id;
                let text = json!({"clientMutationId": id, "status": status, "code": status, "error": "no"});
                serde_json::from_value(text).expect("a result")
            })
            .collect();
        self.store.store_push(&results).await.expect("answers are stored");
    }
}

/// A page with these rows, and the other fields as usual.
pub(crate) fn page(cursor: &str, tables: Value, more: Value) -> Value {
    let (Value::Object(tables), Value::Object(more)) = (tables, more) else { panic!("rows by table, and fields") };
    let changed: Vec<Value> = tables.into_iter().map(|(table, rows)| json!({"table": table, "rows": rows})).collect();
    let mut page = json!({
        "changed": changed, "tombstoned": [], "removed": [], "removedBuckets": [], "cursor": cursor, "epoch": "e1",
        "complete": more.get("hasMore") != Some(&json!(true)),
    });
    for (name, value) in more {
        page[name] = value;
    }
    page
}

pub(crate) fn item(id: &str, name: &str) -> Value {
    json!({"id": id, "shop": "s1", "name": name, "count": "0", "code": null, "updated_at": "2026-11-21T02:00:00.500000Z",
           "deleted_at": null, "unheard_of": [1]})
}
