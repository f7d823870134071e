//! An app whose rows name blobs: shops with members, columns that devices do not get, a public table and one of the server's.

use crate::fixture::{self, push_of};
use nizhal::prelude::*;
use nizhal::{BlobHash, Principal, SystemEnvironment};
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

#[nizhal::table(name = "members", server_only)]
pub(super) struct Member {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
}

#[nizhal::table(name = "photos")]
pub(super) struct Photo {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    image: Option<BlobRef>,
    /// What devices get only a part of.
    #[nizhal(private)]
    original: Option<BlobRef>,
    #[nizhal(default = false)]
    hidden: bool,
}

/// A table that merges column by column.
#[nizhal::table(name = "cards", merge = "field")]
pub(super) struct Card {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    front: Option<BlobRef>,
    back: Option<BlobRef>,
}

/// A table of which devices get some columns.
#[nizhal::table(name = "albums")]
pub(super) struct Album {
    #[nizhal(primary_key)]
    id: String,
    shop_id: String,
    cover: Option<BlobRef>,
    draft: Option<BlobRef>,
}

#[nizhal::table(name = "posters")]
pub(super) struct Poster {
    #[nizhal(primary_key)]
    id: String,
    image: BlobRef,
}

#[nizhal::table(name = "vaults", server_only)]
pub(super) struct Vault {
    #[nizhal(primary_key)]
    id: String,
    image: Option<BlobRef>,
}

sync_rules! {
    rules for Claims;

    rule shops(shop_id) {
        shop_id in Member.shop_id where Member.user_id == actor.user_id;
        Photo where Photo.shop_id == shop_id && Photo.hidden == false;
        Card where Card.shop_id == shop_id;
        Album { id, shop_id, cover } where Album.shop_id == shop_id;
    }

    public rule board() {
        Poster;
    }
}

#[nizhal::args]
pub(super) struct AddPhoto {
    id: String,
    shop_id: String,
    image: Option<BlobRef>,
}

#[mutator]
async fn add_photo(ctx: &mut Ctx<Claims>, args: AddPhoto) -> Result<Applied> {
    let AddPhoto { id, shop_id, image } = args;
    PhotoActive { id: Set(id), shop_id: Set(shop_id), image: Set(image), ..Default::default() }
        .insert(ctx.db())
        .await?;
    Ok(Applied::done())
}

#[nizhal::args]
pub(super) struct Run {
    sql: String,
}

/// Whatever SQL an app may run.
#[mutator(privileged(Poster, Member))]
async fn run(ctx: &mut Ctx<Claims>, args: Run) -> Result<Applied> {
    ctx.db().execute_unprepared(&args.sql).await?;
    Ok(Applied::done())
}

/// Ann is in the first shop, ben in the second, cem in both.
pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) db: Connection,
    pub(super) database: Database,
}

pub(super) fn schema() -> Schema {
    let tables = tables![Member, Photo, Card, Album, Poster, Vault];
    Schema::new(tables, rules().into_inner(), mutators![add_photo, run]).expect("a sound schema")
}

impl World {
    pub(super) async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let schema = Arc::new(schema());
        let store = fixture::store(&database, &schema, 2).await;
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await;
        let mut db = database.connect().await;
        db.execute(
            "insert into members (shop_id, user_id) values ('s1', 'ann'), ('s2', 'ben'), ('s1', 'cem'), ('s2', 'cem')",
        )
        .await;
        Self { engine, db, database }
    }

    /// Stores a blob as an upload does that its holder completes.
    pub(super) async fn stored(&mut self, digit: char, holder: Option<&str>) {
        let hash = hash(digit);
        self.db
            .execute(&format!(
                "insert into _nizhal_blobs (sha256, size, mime, path, stored_ms) values ('{hash}', {SIZE}, 'image/png', 'p{digit}', 0)"
            ))
            .await;
        if let Some(holder) = holder {
            let actor = actor(holder);
            let actor = actor.key();
            let sql = format!(
                "insert into _nizhal_blob_holders (sha256, actor, at_ms) values ('{hash}', '{}', 0)",
                actor.replace('\'', "''")
            );
            self.db.execute(&sql).await;
        }
    }

    pub(super) async fn push_as(&self, user: &str, wire: Wire, mutations: &[Value]) -> PushReply {
        self.engine.push(&actor(user), wire, push_of(mutations)).await
    }

    /// What this user's first mutation comes to.
    pub(super) async fn tried(&self, user: &str, name: &str, args: &Value) -> String {
        let sent = json!({"name": name, "clientMutationId": Uuid::now_v7(), "args": args});
        told(&self.push_as(user, Wire::Two, &[sent]).await).join(" ")
    }

    /// What this user sees of a blob: the media type by which a row names it.
    pub(super) async fn seen(&self, user: &str, digit: char) -> Option<String> {
        let seen = self.engine.visible_blob(&actor(user), parsed(digit)).await.expect("an answer");
        seen.map(|blob| {
            assert_eq!((blob.sha256(), blob.size()), (parsed(digit), SIZE));
            blob.mime().to_string()
        })
    }

    /// Who of all sees the blob.
    pub(super) async fn seers(&self, digit: char) -> String {
        let mut seers = Vec::new();
        for user in ["ann", "ben", "cem", "dan"] {
            if self.seen(user, digit).await.is_some() {
                seers.push(user);
            }
        }
        seers.join(" ")
    }

    /// The digits of the blobs that rows name.
    pub(super) async fn referenced(&self, digits: &str) -> String {
        let all: Vec<BlobHash> = digits.chars().map(parsed).collect();
        let found = self.engine.store().referenced_blobs(&all).await.expect("an answer");
        found.iter().map(|hash| hash.to_string().remove(0)).collect()
    }
}

/// The size of each blob.
pub(super) const SIZE: u64 = 7;

/// The hash of the blob that the tests call by this digit.
pub(super) fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

pub(super) fn parsed(digit: char) -> BlobHash {
    hash(digit).parse().expect("a hash")
}

/// A reference to that blob.
pub(super) fn blob(digit: char) -> Value {
    json!({"sha256": hash(digit), "size": SIZE, "mime": "image/png"})
}

/// A token's bearer.
pub(super) fn actor(user: &str) -> Principal {
    Principal::new(Claims { user_id: user.to_owned(), owner_id: "o".to_owned() }, None)
}

/// The arguments of a photo in a shop.
pub(super) fn photo(id: &str, shop: &str, digit: char) -> Value {
    json!({"id": id, "shopId": shop, "image": blob(digit)})
}

/// What each mutation came to; the fault where the push ended with one.
pub(super) fn told(reply: &PushReply) -> Vec<String> {
    let answers = reply.answers.iter().map(|answer| match &answer.verdict {
        Verdict::Applied(_) => "applied".to_owned(),
        Verdict::Duplicate(_) => "duplicate".to_owned(),
        Verdict::Refused(failure) => format!("refused: {failure}"),
        Verdict::Barred(failure) => format!("barred: {failure}"),
    });
    let fault = reply.fault.iter().map(|fault| match fault {
        PushError::BlobMissing(hashes) => {
            let digits: String = hashes.iter().map(|hash| hash.to_string().remove(0)).collect();
            format!("missing {digits}")
        }
        other => format!("fault: {other}"),
    });
    answers.chain(fault).collect()
}
