//! Images of tables as apps have them: with columns that devices do not get, keys of several columns, and buckets of several parameters.

use crate::fixture::{self, both};
use nizhal::prelude::*;
use nizhal::{DateTimeUtc, Principal, SystemEnvironment, Uuid};
use nizhal_core::__private::BoxFuture;
use nizhal_core::Bucket;
use nizhal_core::wire::Wire;
use nizhal_runtime::engine::{Demand, Engine, ImageReader, ImageStore, ImageStoreError, Making};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Connection, Database, Kind, TempDir};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

both![inv02_a_file_has_no_column_that_devices_do_not_get, inv13_what_a_killed_server_left_of_an_image_is_removed];

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
    year: i32,
}

#[nizhal::table(name = "members", server_only)]
struct Member {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    user_id: String,
}

#[nizhal::table(name = "lines")]
struct Line {
    #[nizhal(primary_key)]
    shop_id: String,
    #[nizhal(primary_key)]
    number: i64,
    year: i32,
    text: String,
    /// What devices never get, and always is there.
    #[nizhal(private)]
    cost: i64,
    #[nizhal(private)]
    supplier: Option<String>,
    /// Left out of the rule's list.
    draft: String,
}

sync_rules! {
    rules for Claims;

    rule years(shop_id, year) {
        shop_id in Member.shop_id where Member.user_id == actor.user_id;
        year = actor.year;
        Line { shop_id, number, year, text } where Line.shop_id == shop_id && Line.year == year;
    }
}

/// A folder of files.
struct Folder(TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl ImageStore for Folder {
    fn put<'a>(&'a self, name: &'a str, file: &'a Path) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        std::fs::copy(file, self.path(name)).expect("a copy");
        Box::pin(std::future::ready(Ok(name.to_owned())))
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), ImageStoreError>> {
        std::fs::remove_file(self.path(path)).expect("a file");
        Box::pin(std::future::ready(Ok(())))
    }

    fn url<'a>(&'a self, reader: ImageReader<'a>, _: DateTimeUtc) -> BoxFuture<'a, Result<String, ImageStoreError>> {
        Box::pin(std::future::ready(Ok(reader.path.to_owned())))
    }

    fn list(&self, _: i64) -> BoxFuture<'_, Result<Vec<String>, ImageStoreError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn is_there<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<bool, ImageStoreError>> {
        Box::pin(std::future::ready(Ok(self.path(path).exists())))
    }
}

struct World {
    engine: Engine,
    files: Arc<Folder>,
    db: Connection,
    _database: Database,
}

impl World {
    async fn new(kind: Kind) -> Self {
        let database = Database::new(kind).await;
        let schema = Schema::new(tables![Member, Line], rules().into_inner(), Vec::new()).expect("a sound schema");
        let schema = Arc::new(schema);
        let store = fixture::store(&database, &schema, 2).await;
        let files = Arc::new(Folder(TempDir::in_memory("images")));
        let engine = fixture::engine_over(schema, store, SystemEnvironment).await.with_images(files.clone(), 1);
        let mut db = database.connect().await;
        db.execute("insert into members (shop_id, user_id) values ('s1', 'ann')").await;
        Self { engine, files, db, _database: database }
    }

    /// What a new device of this user's gets.
    async fn pull(&self, user: &str) -> Value {
        let principal = Principal::new(Claims { user_id: user.to_owned(), owner_id: "o".to_owned(), year: 2025 }, None);
        let request = serde_json::from_str(r#"{"cursor": "", "images": true}"#).expect("a request");
        let page = self.engine.pull(&principal, Wire::Two, request).await.expect("a page");
        serde_json::from_slice(&page.body).expect("JSON")
    }

    /// The rows of a table in the image of this name.
    async fn file(&self, name: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let plain = self.files.path("plain.db");
        let mut decoder = flate2::read::GzDecoder::new(std::fs::File::open(self.files.path(name)).expect("a file"));
        std::io::copy(&mut decoder, &mut std::fs::File::create(&plain).expect("a file")).expect("unpacked");
        Database::file(&plain).connect().await.rows(sql).await
    }
}

async fn inv02_a_file_has_no_column_that_devices_do_not_get(kind: Kind) {
    let mut world = World::new(kind).await;
    world
        .db
        .execute(
            "insert into lines (shop_id, number, year, text, cost, supplier, draft) values \
             ('s1', 2, 2025, 'two', 7, 'secret', 'secret'), ('s1', 1, 2025, 'one', 8, null, 'secret'), \
             ('s1', 3, 2024, 'of another year', 9, 'secret', 'secret'), ('s2', 1, 2025, 'elsewhere', 9, null, 'secret')",
        )
        .await;
    let bucket = Bucket::new("years", vec!["s1".to_owned(), "2025".to_owned()]);
    assert_eq!(world.engine.make_image(&bucket, Demand::Sync).await.expect("an image"), Making::Made);
    let pulled = world.pull("ann").await;
    assert_eq!(pulled["images"][0]["bucket"], bucket.qualified(), "{pulled}");
    let name = pulled["images"][0]["url"].as_str().expect("a URL").to_owned();
    let rows = world.file(&name, "select number, text, cost, supplier, draft from lines").await;
    let row = |cells: [&str; 5]| cells.map(|cell| (cell != "NULL").then(|| cell.to_owned())).to_vec();
    assert_eq!(rows, [row(["1", "one", "0", "NULL", ""]), row(["2", "two", "0", "NULL", ""])]);
}

/// A server that is killed while it makes an image cannot remove the files that it made it of.
async fn inv13_what_a_killed_server_left_of_an_image_is_removed(kind: Kind) {
    let world = World::new(kind).await;
    let file = |name: &str, age: Duration| {
        let path = std::env::temp_dir().join(format!("{name}-{}", Uuid::now_v7().simple()));
        let file = std::fs::File::create(&path).expect("a file");
        file.set_modified(SystemTime::now() - age).expect("an old file");
        path
    };
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (left, young) = (file("nizhal-image", 2 * DAY), file("nizhal-image", DAY / 2));
    let other = file("another-program", 2 * DAY);
    world.engine.forget_images().await.expect("a look");
    assert_eq!([&left, &young, &other].map(|path| path.exists()), [false, true, true]);
    for path in [young, other] {
        std::fs::remove_file(path).expect("a file");
    }
}
