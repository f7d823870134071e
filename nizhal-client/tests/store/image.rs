//! Images: laid like the rows that they stand for, and gone with what named them.

use crate::app::{Device, Item, Slot, Stock, Tag, item, new_id, page};
use crate::disk::dump;
use crate::run;
use nizhal::prelude::*;
use nizhal_client::exchange::{self, Caller};
use nizhal_client::session::Failure;
use nizhal_client::store::{LocalImage, Location, OtherUser, PullAnswer, Store as _, StoreError};
use nizhal_client::transport::{Body, Frames, Request, Response, Transport};
use nizhal_core::__private::BoxFuture;
use nizhal_core::image::{CREATE_META, CREATE_UNREAD, shape};
use nizhal_core::local::{LocalTable, cell, names};
use nizhal_tests::TempDir;
use sea_orm::{DbBackend, SqlxSqliteConnector, Statement};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::future::{pending, ready};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// Writes an image of the bucket `shops:s1` as a server does; `unread` are rows that its tables cannot hold.
pub(crate) async fn write_image(path: &Path, version: i64, items: &[Value], unread: &[Value]) -> LocalImage {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a file is made");
    let db = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool.clone());
    for desc in tables![Item, Slot, Stock, Tag] {
        let table = LocalTable::new(desc);
        db.execute_unprepared(&table.create_as(&table.name())).await.expect("a table is made");
    }
    for sql in [CREATE_META, CREATE_UNREAD] {
        db.execute_unprepared(sql).await.expect("a table is made");
    }
    let run = async |sql: &str, values: Vec<sea_orm::Value>| {
        let statement = Statement::from_sql_and_values(DbBackend::Sqlite, sql, values);
        db.execute_raw(statement).await.expect("a row is written");
    };
    let table = LocalTable::new(tables![Item][0]);
    let json = RawValue::from_string(Value::from(items).to_string()).expect("JSON");
    for rows in cell::rows(&table, &json).expect("rows").groups {
        let all = names(rows.columns.iter().map(|&at| &table.columns[at]));
        let marks = vec!["?"; rows.columns.len()].join(", ");
        let sql = format!("insert into items ({all}) values ({marks})");
        for row in rows.values.chunks(rows.columns.len()) {
            run(&sql, row.to_vec()).await;
        }
    }
    for row in unread {
        run("insert into _nizhal_unread values ('items', $1)", vec![Value::from(vec![row.clone()]).to_string().into()])
            .await;
    }
    run("insert into _nizhal_image values (1, 'shops:s1', $1, 'e1', 't', 's', '', 1)", vec![version.into()]).await;
    pool.close().await;
    LocalImage { bucket: "shops:s1".to_owned(), version, path: path.to_owned() }
}

/// As a page names them.
pub(crate) fn named(image: &LocalImage) -> Value {
    json!({"bucket": image.bucket, "version": image.version})
}

async fn pull(device: &Device, images: &[&LocalImage], page: Value) -> Result<bool, StoreError> {
    let start = device.store.begin_pull().await.expect("a cursor");
    let images = images.iter().map(|&image| image.clone()).collect();
    let answer = PullAnswer { images, lines: Vec::new(), page: page.to_string().into_bytes() };
    device.store.store_pull(&start, answer, &new_id).await.map(|(stored, _)| stored.complete)
}

async fn at(path: &Path) -> Device {
    Device::open(&Location::File(path.to_owned()), OtherUser::Refuse, "ana").await.expect("the device opens")
}

fn is_of_items(line: &str) -> bool {
    line.starts_with("items") || line.starts_with("_nizhal_base_items")
}

#[test]
fn inv03_rows_of_an_image_are_laid_as_those_of_a_page() {
    run(async {
        let dir = TempDir::in_memory("device");
        let rows: Vec<Value> = (0..300).map(|n| item(&format!("i{n}"), &format!("Item {n}"))).collect();
        let image = write_image(&dir.path().join("s1.image"), 7, &rows, &[]).await;
        let (one, other) = (dir.path().join("one.db"), dir.path().join("other.db"));
        let mut dumps = Vec::new();
        for (path, by_image) in [(&one, true), (&other, false)] {
            let device = at(path).await;
            device.mutate("put", json!({"id": "i5", "name": "pending, and refused"})).await;
            device.mutate("put", json!({"id": "mine", "name": "pending"})).await;
            let gone = json!([{"table": "items", "id": "i8"}]);
            let changed = json!({"items": [item("i9", "changed since")]});
            match by_image {
                true => {
                    let more = json!({"images": [named(&image)], "tombstoned": gone});
                    assert!(pull(&device, &[&image], page("c1", changed, more)).await.unwrap());
                }
                false => {
                    let mut all = rows.clone();
                    all[9] = item("i9", "changed since");
                    all.remove(8);
                    device.pull(page("c1", json!({"items": all}), json!({}))).await;
                }
            }
            assert_eq!(device.items().await.len(), 300);
            device.mutate("bump", json!({"id": "i1"})).await;
            // A mutation after it has its image kept: the triggers are there again.
            device.pull(page("c2", json!({}), json!({}))).await;
            device.store.close().await;
            let dump = dump(path).await;
            // Ids of mutations are each device's own.
            dumps.push(dump.into_iter().filter(|line| is_of_items(line)).collect::<Vec<_>>());
        }
        assert_eq!(dumps[0], dumps[1]);
    });
}

#[test]
fn inv40_a_row_that_no_table_holds_is_left_out_by_name() {
    run(async {
        let dir = TempDir::in_memory("device");
        let path = dir.path().join("s1.image");
        let mut broken = item("b", "B");
        broken["name"] = Value::Null;
        let image = write_image(&path, 7, &[item("a", "A")], &[broken]).await;
        let device = Device::new().await;
        let first = page("c1", json!({}), json!({"images": [named(&image)]}));
        assert!(pull(&device, &[&image], first).await.unwrap());
        assert_eq!(device.names().await, "a=A");
        let unreadable = device.store.unreadable().await.unwrap();
        assert_eq!(unreadable.iter().map(|row| (&*row.key, &*row.column)).collect::<Vec<_>>(), [("b", "name")]);
    });
}

#[test]
fn inv22_the_image_of_a_page_waits_for_its_snapshot_over_a_restart() {
    run(async {
        let dir = TempDir::in_memory("device");
        let path = dir.path().join("app.db");
        let device = at(&path).await;
        let (own, _) = device.store.image_paths(&"ab".repeat(32));
        let (stray, part) = device.store.image_paths(&"cd".repeat(32));
        let image = write_image(&own, 7, &[item("a", "A"), item("b", "B")], &[]).await;
        for stray in [&stray, &part] {
            std::fs::write(stray, "left behind").unwrap();
        }
        let first = page("c1", json!({"items": [item("c", "C")]}), json!({"hasMore": true, "images": [named(&image)]}));
        assert!(!pull(&device, &[&image], first).await.unwrap());
        assert_eq!(device.names().await, "", "nothing shows before all is there");
        device.store.close().await;
        let device = at(&path).await;
        assert!(own.exists() && !stray.exists() && !part.exists(), "what nobody waits for is deleted");
        let last = page("c2", json!({"items": [item("b", "newer")]}), json!({}));
        assert!(pull(&device, &[], last).await.unwrap());
        assert_eq!(device.names().await, "a=A b=newer c=C");
        assert!(!own.exists());
        device.store.close().await;
    });
}

#[test]
fn inv22_an_image_that_is_gone_has_all_asked_for_again() {
    run(async {
        let dir = TempDir::in_memory("device");
        let path = dir.path().join("s1.image");
        let image = write_image(&path, 7, &[item("a", "A")], &[]).await;
        let device = Device::new().await;
        let answer = || page("c1", json!({}), json!({"images": [named(&image)]}));
        assert!(matches!(pull(&device, &[], answer()).await, Err(StoreError::ImagesMissing)));
        std::fs::remove_file(&path).unwrap();
        assert!(!pull(&device, &[&image], answer()).await.unwrap());
        assert_eq!(device.store.begin_pull().await.unwrap().cursor, "");
    });
}

/// Answers a pull that takes images with one, whose file comes in pieces and is none, and any other with the end.
#[derive(Clone, Default)]
struct Pieces {
    heard: Arc<AtomicUsize>,
    /// What was heard whenever a piece was asked for.
    between: Arc<Mutex<Vec<usize>>>,
}

/// The pieces that are left.
struct Left(Pieces, u32);

impl Transport for Pieces {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
        let rules = crate::app::rules().into_inner();
        let rule = rules.iter().find(|rule| rule.name == "shops").expect("a rule");
        let file = json!({"bucket": "shops:s1", "version": 7, "url": "/f", "size": 5, "sha256": "ab".repeat(32), "rows": 1,
            "shape": shape(&rule.tables)});
        let images = if asked["images"] == true { vec![file] } else { Vec::new() };
        let page = page("c1", json!({}), json!({"images": images}));
        let body = Box::new(Some(page.to_string().into_bytes()));
        Box::pin(ready(Ok(Response { status: 200, retry_after_ms: None, lines: false, body })))
    }

    fn fetch<'a>(&'a self, _: &'a str, _: u64) -> BoxFuture<'a, Result<Response, Failure>> {
        let body = Box::new(Left(self.clone(), 5));
        Box::pin(ready(Ok(Response { status: 200, retry_after_ms: None, lines: false, body })))
    }

    fn open<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Box<dyn Frames>, Failure>> {
        Box::pin(pending())
    }
}

impl Body for Left {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>> {
        self.0.between.lock().unwrap().push(self.0.heard.load(SeqCst));
        let piece = self.1.checked_sub(1).map(|left| {
            self.1 = left;
            vec![0]
        });
        Box::pin(ready(Ok(piece)))
    }
}

/// Else the session takes a server for silent that sends a large file.
#[test]
fn inv04_a_file_that_comes_is_a_sign_of_life() {
    run(async {
        let device = Device::new().await;
        let pieces = Pieces::default();
        let caller = Caller { token: "t".to_owned(), contract_version: "1.0.0".to_owned() };
        let progress = |_| {
            pieces.heard.fetch_add(1, SeqCst);
        };
        exchange::pull(&device.store, &pieces, &caller, false, &progress).await.expect("rows in its place");
        let between = pieces.between.lock().unwrap();
        assert_eq!((between.len(), between[5] - between[0]), (6, 5), "each piece is heard of: {between:?}");
    });
}
