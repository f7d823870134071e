//! The app under test: overlapping rules, two parameters, constant conditions, a composite key.

use nizhal::engine::{Engine, Environment};
use nizhal::prelude::*;
use nizhal::schema::Schema;
use nizhal::store::{Store, StoreSettings};
use nizhal::{NodeId, realtime::Hub};
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
    pub(super) rules for Claims;

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

struct Clock;

impl Environment for Clock {
    fn now(&self) -> DateTimeUtc {
        DateTimeUtc::UNIX_EPOCH
    }
    fn new_id(&self) -> Uuid {
        Uuid::nil()
    }
}

/// An engine over this database, provisioned.
pub(super) async fn engine(url: &str) -> Engine {
    let tables = tables![Item, Note, ShopMember, ChannelMember];
    let schema = Arc::new(Schema::new(tables, rules().into_inner(), Vec::new()).expect("a sound schema"));
    let settings = StoreSettings { url: url.to_owned(), pool: 2 };
    let store = Store::connect(&settings, schema.clone()).await.expect("a database");
    store.provision().await.expect("provisioned");
    Engine::new(schema, store, Hub::default(), Arc::new(Clock), NodeId(1))
}
