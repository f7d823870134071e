//! The app under test: overlapping rules, two parameters, constant conditions, a composite key.

use nizhal::engine::{Engine, Environment};
use nizhal::prelude::*;
use nizhal::schema::Schema;
use nizhal::store::{Store, StoreSettings};
use nizhal::{NodeId, Rules, realtime::Hub};
use std::sync::Arc;

#[nizhal::claims]
pub(super) struct Claims {
    pub(super) user_id: String,
    pub(super) owner_id: String,
}

#[nizhal::table(name = "items")]
pub(super) struct Item {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    channel: i64,
    owner: String,
    hidden: bool,
    client_id: Option<String>,
}

#[nizhal::table(name = "notes")]
pub(super) struct Note {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    n: i64,
    owner: String,
    #[nizhal(default = "open")]
    state: String,
}

#[nizhal::table(name = "shop_members", server_only)]
pub(super) struct ShopMember {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
    #[nizhal(default = "staff")]
    role: String,
}

#[nizhal::table(name = "channel_members", server_only)]
pub(super) struct ChannelMember {
    #[nizhal(primary_key)]
    channel: i64,
    #[nizhal(primary_key)]
    user_id: String,
}

sync_rules! {
    pub(super) overlapping for Claims;

    /// What is not hidden in a shop, and its open notes.
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id && ShopMember.role != "banned";
        Item where Item.shop_id == shop_id && Item.hidden == false;
        Note where Note.shop_id == shop_id && Note.state == "open";
    }

    /// What is in a channel, hidden or not.
    rule my_channels(channel) {
        channel in ChannelMember.channel where ChannelMember.user_id == actor.user_id;
        Item where Item.channel == channel;
    }

    /// The actor's own notes in the shops they are in, open or not.
    rule my_notes(shop_id, owner) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id && ShopMember.role != "banned";
        owner = actor.user_id;
        Note where Note.shop_id == shop_id && Note.owner == owner;
    }
}

sync_rules! {
    pub(super) single for Claims;

    /// As `my_shops` above, alone: a lost bucket is told, never reset.
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id && ShopMember.role != "banned";
        Item where Item.shop_id == shop_id && Item.hidden == false;
        Note where Note.shop_id == shop_id && Note.state == "open";
    }
}

sync_rules! {
    pub(super) disjoint for Claims;

    /// Rules without a table in common, whose buckets have equal names.
    rule my_shops(shop_id) {
        shop_id in ShopMember.shop_id where ShopMember.user_id == actor.user_id && ShopMember.role != "banned";
        Note where Note.shop_id == shop_id && Note.state == "open";
    }

    /// Channel 7 is not shop 7.
    rule my_channels(channel) {
        channel in ChannelMember.channel where ChannelMember.user_id == actor.user_id;
        Item where Item.channel == channel;
    }
}

/// Which rules a case runs under.
#[derive(Clone, Copy, Debug)]
pub(super) enum Variant {
    Overlapping,
    Single,
    Disjoint,
}

impl Variant {
    pub(super) const ALL: [Self; 3] = [Self::Overlapping, Self::Single, Self::Disjoint];

    fn rules(self) -> Rules<Claims> {
        match self {
            Self::Overlapping => overlapping(),
            Self::Single => single(),
            Self::Disjoint => disjoint(),
        }
    }
}

struct Clock;

impl Environment for Clock {
    fn now(&self) -> DateTimeUtc {
        DateTimeUtc::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        Uuid::nil()
    }
}

/// The app over one database: its engine, and a store of its own for writes in one transaction.
pub(super) struct App {
    pub(super) engine: Engine,
    writer: Store,
}

impl App {
    pub(super) async fn new(url: &str, variant: Variant) -> Self {
        let tables = tables![Item, Note, ShopMember, ChannelMember];
        let schema = Arc::new(Schema::new(tables, variant.rules().into_inner(), Vec::new()).expect("a sound schema"));
        let settings = StoreSettings { url: url.to_owned(), pool: 2 };
        let connect = async || Store::connect(&settings, schema.clone()).await.expect("a database");
        let (store, writer) = (connect().await, connect().await);
        store.provision().await.expect("provisioned");
        let engine = Engine::new(schema.clone(), store, Hub::default(), Arc::new(Clock), NodeId(1));
        Self { engine, writer }
    }

    /// Runs statements as one of our own transactions, or not at all when one is refused.
    pub(super) async fn write(&self, statements: &[String]) {
        let tx = self.writer.begin().await.expect("a transaction");
        for statement in statements {
            if tx.execute_unprepared(statement).await.is_err() {
                return tx.rollback().await.expect("rolled back");
            }
        }
        self.writer.on(&tx).finish().await.expect("finished");
        tx.commit().await.expect("committed");
    }

    /// Closes the connections, so that the database can go.
    pub(super) async fn close(self) {
        self.writer.close().await;
    }
}
