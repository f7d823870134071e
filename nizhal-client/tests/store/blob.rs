//! Blobs of a device: kept before they are named, uploaded before their mutations, and dropped when nothing needs them.

use crate::app::{Claims, Member};
use crate::run;
use nizhal::prelude::*;
use nizhal::{BlobRef, MutatorEntry};
use nizhal_client::session::{Failure, FailureKind};
use nizhal_client::store::OtherUser;
use nizhal_client::transport::{BlobMethod, BlobRequest, Frames, Request, Response, Transport};
use nizhal_client::{BlobError, Client, DeadLetter, Setup, Status};
use nizhal_tests::{TempDir, blob::hash_of};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, ready};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};

#[nizhal::table(name = "photos")]
pub(crate) struct Photo {
    #[nizhal(primary_key)]
    pub(crate) id: String,
    pub(crate) shop: String,
    pub(crate) photo: Option<BlobRef>,
}

sync_rules! {
    pub(crate) photo_rules for Claims;

    rule shops(shop) {
        shop in Member.shop where Member.user_id == actor.user_id;
        Photo where Photo.shop == shop;
    }
}

#[nizhal::args]
pub(crate) struct Shot {
    pub(crate) id: String,
    pub(crate) photo: Option<BlobRef>,
}

/// Writes a row, or overwrites it.
#[mutator]
pub(crate) async fn shoot(ctx: &mut Ctx<Claims>, args: Shot) -> Result<Applied> {
    let row = PhotoActive { id: Set(args.id.clone()), shop: Set("s1".to_owned()), photo: Set(args.photo) };
    match Photo::find_by_id(&*args.id).one(ctx.db()).await? {
        Some(_) => row.update(ctx.db()).await?,
        None => row.insert(ctx.db()).await?,
    };
    Ok(Applied::done())
}

type Waited<'a, T> = Pin<Box<dyn Future<Output = std::result::Result<T, Failure>> + Send + 'a>>;

const PART_BYTES: usize = 4;

/// A server with a blob store, as far as a device can tell.
#[derive(Default)]
struct Served {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Uploads by key: what was declared, and the parts that came.
    uploads: BTreeMap<String, (Value, BTreeMap<usize, Vec<u8>>)>,
    /// All that was asked about blobs, in order.
    asked: Vec<String>,
    /// Answers in place of the server's, to the requests whose text begins so.
    faults: VecDeque<(&'static str, u16, Value)>,
    /// The mutations that were applied, by the ids of their rows, and the last number of each client.
    applied: Vec<String>,
    rows: BTreeMap<String, Value>,
    last: i64,
    pulls: u64,
    removed_buckets: Vec<String>,
}

#[derive(Clone, Default)]
struct Server(Arc<Mutex<Served>>);

impl Server {
    fn served(&self) -> MutexGuard<'_, Served> {
        self.0.lock().unwrap()
    }

    fn fail(&self, what: &'static str, status: u16, body: Value) {
        self.served().faults.push_back((what, status, body));
    }

    fn asked(&self, what: &str) -> usize {
        self.served().asked.iter().filter(|asked| asked.starts_with(what)).count()
    }
}

impl Served {
    fn push(&mut self, body: &Value) -> (u16, Value) {
        let mut results = Vec::new();
        for mutation in body["mutations"].as_array().unwrap() {
            let (args, number) = (&mutation["args"], mutation["mutationID"].as_i64().unwrap());
            let sha256 = args["photo"]["sha256"].as_str();
            if let Some(sha256) = sha256.filter(|sha256| !self.blobs.contains_key(*sha256)) {
                let text = "it names blobs that are not stored";
                return (409, json!({"code": "blob_missing", "error": text, "sha256": [sha256], "results": results}));
            }
            assert!(number > 0, "what waits for an upload is not sent");
            self.last = number;
            self.applied.push(args["id"].as_str().unwrap().to_owned());
            self.rows.insert(args["id"].as_str().unwrap().to_owned(), args["photo"].clone());
            results.push(json!({"clientMutationId": mutation["clientMutationId"], "status": "applied"}));
        }
        (200, json!({"results": results}))
    }

    fn pull(&mut self) -> (u16, Value) {
        self.pulls += 1;
        let row = |(id, photo): (&String, &Value)| json!({"id": id, "shop": "s1", "photo": photo, "updated_at": null, "deleted_at": null});
        let gone = std::mem::take(&mut self.removed_buckets);
        let rows: Vec<Value> = if gone.is_empty() { self.rows.iter().map(row).collect() } else { Vec::new() };
        let more = json!({"lastMutationId": self.last, "removedBuckets": gone});
        (200, crate::app::page(&format!("c{}", self.pulls), json!({"photos": rows}), more))
    }

    fn blob(&mut self, request: &BlobRequest) -> (u16, Vec<u8>) {
        let path = request.url.as_str();
        self.asked.push(format!("{:?} {path}", request.method));
        if let Some(at) = self.faults.iter().position(|(what, ..)| self.asked.last().unwrap().starts_with(what)) {
            let (_, status, body) = self.faults.remove(at).unwrap();
            return (status, body.to_string().into_bytes());
        }
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (status, answer) = match (request.method, &parts[..]) {
            (BlobMethod::Post, ["nizhal", "blob", "presign-upload"]) => self.presign(&body),
            (BlobMethod::Post, ["nizhal", "blob", key, "complete"]) => self.complete(key),
            (BlobMethod::Put, ["part", key, number]) => {
                self.uploads.get_mut(*key).unwrap().1.insert(number.parse().unwrap(), request.body.clone());
                (204, json!({}))
            }
            (BlobMethod::Get, ["nizhal", "blob", sha256, "url"]) if self.blobs.contains_key(*sha256) => {
                (200, json!({"url": format!("/bytes/{sha256}")}))
            }
            (BlobMethod::Get, ["bytes", sha256]) => return (200, self.blobs[*sha256].clone()),
            _ => (404, json!({"code": "not_found", "error": "nothing is here"})),
        };
        (status, answer.to_string().into_bytes())
    }

    fn presign(&mut self, declared: &Value) -> (u16, Value) {
        let sha256 = declared["sha256"].as_str().unwrap();
        if self.blobs.contains_key(sha256) {
            return (
                200,
                json!({"done": true, "blob": {"sha256": sha256, "size": declared["size"], "mime": declared["mime"]}}),
            );
        }
        let key = declared["key"].as_str().map_or_else(|| format!("u{}", self.uploads.len()), str::to_owned);
        let (_, came) = self.uploads.entry(key.clone()).or_insert_with(|| (declared.clone(), BTreeMap::new()));
        let size = usize::try_from(declared["size"].as_u64().unwrap()).unwrap();
        let part = |number: usize| {
            let offset = number * PART_BYTES;
            json!({"number": number, "url": format!("/part/{key}/{number}"), "method": "PUT", "headers": {},
                   "offset": offset, "size": PART_BYTES.min(size - offset), "done": came.contains_key(&number)})
        };
        (200, json!({"key": key, "parts": (0..size.div_ceil(PART_BYTES)).map(part).collect::<Vec<_>>()}))
    }

    fn complete(&mut self, key: &str) -> (u16, Value) {
        let (declared, parts) = self.uploads.remove(key).unwrap();
        let bytes: Vec<u8> = parts.into_values().flatten().collect();
        let sha256 = hash_of(&bytes);
        if declared["sha256"] != sha256 {
            return (422, json!({"code": "hash_mismatch", "error": "other bytes"}));
        }
        let size = bytes.len();
        self.blobs.insert(sha256.clone(), bytes);
        (200, json!({"sha256": sha256, "size": size, "mime": declared["mime"]}))
    }
}

fn answer<'a>(status: u16, body: Vec<u8>) -> Waited<'a, Response> {
    if status == 0 {
        return Box::pin(ready(Err(Failure::new(FailureKind::Network, "network", "cut"))));
    }
    Box::pin(ready(Ok(Response { status, retry_after_ms: None, lines: false, body: Box::new(Some(body)) })))
}

impl Transport for Server {
    fn send(&self, request: Request) -> Waited<'_, Response> {
        let body = serde_json::from_slice(&request.body).unwrap();
        let mut served = self.served();
        let (status, body) = if request.path == "/sync/push" { served.push(&body) } else { served.pull() };
        answer(status, body.to_string().into_bytes())
    }
    fn send_blob(&self, request: BlobRequest) -> Waited<'_, Response> {
        let (status, body) = self.served().blob(&request);
        answer(status, body)
    }
    fn open<'a>(&'a self, _: &'a str) -> Waited<'a, Box<dyn Frames>> {
        Box::pin(pending())
    }
}

fn setup(server: &Server, user: &str) -> Setup {
    let mutators: Vec<MutatorEntry> = mutators![shoot];
    let quick = |settings: &mut nizhal_client::session::Settings| {
        (settings.first_wait_ms, settings.longest_wait_ms) = (1, 5);
    };
    let claims = Claims { user_id: user.to_owned(), owner_id: "o1".to_owned() };
    let setup = Client::setup(claims).tables(tables![Photo, Member]).mutators(mutators).rules(photo_rules());
    setup.settings(quick).transport(server.clone(), "t".to_owned())
}

async fn open(setup: Setup) -> Client {
    Box::pin(setup.open()).await.unwrap()
}

async fn reached(client: &Client, what: &str, wanted: impl FnMut(&Status) -> bool) -> Status {
    let now = || format!("{:?}", *client.status().borrow());
    nizhal_tests::within(what, client.until(wanted), now).await.expect("the client was not closed")
}

async fn settled(client: &Client) {
    let live =
        |status: &Status| status.pending == 0 && status.uploads == 0 && status.phase == nizhal_client::Phase::Live;
    reached(client, "all to be synced", live).await;
}

async fn snap(client: &Client, id: &str, photo: Option<&BlobRef>) {
    client.mutate::<shoot>(Shot { id: id.to_owned(), photo: photo.cloned() }).await.unwrap();
}

async fn photo(client: &Client, bytes: &[u8]) -> BlobRef {
    client.blobs().add(bytes, "image/png").await.unwrap()
}

async fn codes(client: &Client) -> Vec<(String, String)> {
    let dead_letters = client.dead_letters().await.unwrap();
    dead_letters
        .into_iter()
        .map(|DeadLetter { args, code, .. }| {
            (serde_json::from_str::<Value>(&args).unwrap()["id"].as_str().unwrap().to_owned(), code)
        })
        .collect()
}

/// The files of blobs under a folder.
fn files(dir: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let mut names: Vec<String> = folders
        .flat_map(|folder| std::fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_photo_taken_offline_goes_before_the_row_that_names_it() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let file = dir.path().join("app.db");
        let client = open(setup(&server, "ana").file(&file).offline()).await;
        let first = photo(&client, b"0123456789").await;
        assert_eq!((first.sha256().to_string(), first.size()), (hash_of(b"0123456789"), 10));
        assert_eq!(files(dir.path()), [hash_of(b"0123456789")]);
        snap(&client, "named", Some(&first)).await;
        snap(&client, "other", None).await;
        // Of a row that waits.
        snap(&client, "named", None).await;
        assert_eq!((client.status().borrow().pending, client.status().borrow().held), (3, 2));
        assert_eq!(client.blobs().open(&first).await.unwrap(), b"0123456789");
        client.close().await;

        server.fail("Put /part/u0/1", 0, json!({}));
        let client = open(setup(&server, "ana").file(&file)).await;
        settled(&client).await;
        assert_eq!(server.served().applied, ["other", "named", "named"], "what need not wait passes what must");
        assert_eq!(server.asked("Put /part/u0/0"), 1, "an upload goes on where it was cut");
        assert_eq!(server.asked("Put /part/u0/1"), 2);
        assert_eq!(server.served().uploads.len(), 0, "one upload was begun, and it was completed");
        assert_eq!(codes(&client).await, []);
        assert!(client.blobs().uploads().await.unwrap().is_empty());
    });
}

#[test]
fn a_blob_that_the_server_lacks_is_uploaded_anew_while_its_bytes_are_here() {
    run(async {
        let server = Server::default();
        let client = open(setup(&server, "ana")).await;
        let first = photo(&client, b"first").await;
        reached(&client, "the upload", |status| status.uploads == 0).await;
        server.served().blobs.clear();
        snap(&client, "a", Some(&first)).await;
        settled(&client).await;
        assert_eq!(server.served().applied, ["a"]);
        assert_eq!(server.asked("Post /nizhal/blob/u0/complete"), 2);
        // Of another device, whose bytes are not here.
        let foreign = serde_json::from_value(nizhal_tests::blob::reference(b"foreign", "image/png")).unwrap();
        snap(&client, "b", Some(&foreign)).await;
        snap(&client, "c", None).await;
        settled(&client).await;
        assert_eq!(codes(&client).await, [("b".to_owned(), "blob_missing".to_owned())]);
        assert_eq!(server.served().applied, ["a", "c"], "nothing waits behind it");
    });
}

#[test]
fn an_upload_that_is_refused_for_good_takes_its_mutations_along() {
    run(async {
        for (code, status) in [("too_large", 413), ("mime_refused", 415)] {
            let server = Server::default();
            server.fail("Post /nizhal/blob/presign-upload", status, json!({"code": code, "error": "no"}));
            let client = open(setup(&server, "ana").offline()).await;
            let blob = photo(&client, b"bytes").await;
            snap(&client, "a", Some(&blob)).await;
            client.set_online(true);
            reached(&client, "the refusal", |status| status.dead_letters == 1).await;
            assert_eq!(codes(&client).await, [("a".to_owned(), code.to_owned())]);
            let uploads = client.blobs().uploads().await.unwrap();
            assert!(uploads[0].failed && uploads[0].error.as_ref().unwrap().0 == code);
            assert_eq!(Photo::find().count(client.db()).await.unwrap(), 0, "its effect is gone");
            // The server takes more now.
            let id = client.dead_letters().await.unwrap().remove(0).id;
            client.retry(&id).await.unwrap();
            settled(&client).await;
            assert_eq!(server.served().applied, ["a"]);
        }
    });
}

#[test]
fn bytes_that_arrive_as_others_are_sent_once_more() {
    run(async {
        let server = Server::default();
        let mismatch = || server.fail("Post /nizhal/blob/u", 422, json!({"code": "hash_mismatch", "error": "no"}));
        mismatch();
        let client = open(setup(&server, "ana").offline()).await;
        let blob = photo(&client, b"bytes").await;
        snap(&client, "a", Some(&blob)).await;
        client.set_online(true);
        settled(&client).await;
        assert_eq!((codes(&client).await, server.served().applied.len()), (vec![], 1));
        mismatch();
        mismatch();
        snap(&client, "b", Some(&photo(&client, b"others").await)).await;
        reached(&client, "the refusal", |status| status.dead_letters == 1).await;
        assert_eq!(codes(&client).await, [("b".to_owned(), "hash_mismatch".to_owned())]);
    });
}

#[test]
fn bytes_that_the_disk_lost_are_told_of() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let client = open(setup(&server, "ana").file(dir.path().join("app.db")).offline()).await;
        let blob = photo(&client, b"bytes").await;
        snap(&client, "a", Some(&blob)).await;
        snap(&client, "b", None).await;
        std::fs::remove_file(client.blobs().file(&blob).await.unwrap().unwrap()).unwrap();
        client.set_online(true);
        reached(&client, "the loss", |status| status.dead_letters == 1 && status.pending == 0).await;
        assert_eq!(codes(&client).await, [("a".to_owned(), "bytes_lost".to_owned())]);
        // Added again, it goes.
        photo(&client, b"bytes").await;
        let id = client.dead_letters().await.unwrap().remove(0).id;
        client.retry(&id).await.unwrap();
        settled(&client).await;
        assert_eq!(server.served().applied, ["b", "a"]);
    });
}

#[test]
fn the_cache_gives_way_and_what_is_not_uploaded_does_not() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let stored = |bytes: &[u8]| {
            let blob = nizhal_tests::blob::reference(bytes, "image/png");
            let mut served = server.served();
            served.blobs.insert(hash_of(bytes), bytes.to_vec());
            served.rows.insert(hash_of(bytes), blob.clone());
            serde_json::from_value::<BlobRef>(blob).unwrap()
        };
        let [one, two, three] = [b"one one", b"two two", b"three 3"].map(|bytes| stored(bytes));
        let client = open(setup(&server, "ana").file(dir.path().join("app.db")).blob_cache_bytes(16)).await;
        settled(&client).await;
        let blobs = client.blobs();
        for blob in [&one, &two, &one] {
            blobs.open(blob).await.unwrap();
        }
        assert_eq!(server.asked("Get /bytes"), 2, "what is here is not fetched again");
        client.set_online(false);
        let own = photo(&client, b"only this device has these").await;
        client.set_online(true);
        // It was used before `one` was.
        blobs.open(&three).await.unwrap();
        reached(&client, "the upload", |status| status.uploads == 0).await;
        client.sync_now();
        nizhal_tests::until("the least recently used is gone", async || {
            files(dir.path()).len() == 3 && !files(dir.path()).contains(&two.sha256().to_string())
        })
        .await;
        assert_eq!(blobs.open(&own).await.unwrap(), b"only this device has these");
        assert!(blobs.discard(&own).await.unwrap());
        assert_eq!(files(dir.path()).len(), 2);
        // The store has other bytes than the row names.
        server.served().blobs.insert(two.sha256().to_string(), b"changed".to_vec());
        assert!(matches!(blobs.open(&two).await, Err(BlobError::Changed)));
        server.served().blobs.insert(two.sha256().to_string(), b"more than it may be".to_vec());
        assert!(matches!(blobs.open(&two).await, Err(BlobError::Changed)));
        assert_eq!(files(dir.path()).len(), 2, "nothing of it is kept");
        // What the disk changed is fetched again.
        std::fs::write(blobs.file(&one).await.unwrap().unwrap(), b"ONE ONE").unwrap();
        assert_eq!(blobs.open(&one).await.unwrap(), b"one one");
        // A bucket that is lost takes its blobs along.
        server.served().removed_buckets = vec!["shops:s1".to_owned()];
        client.sync_now();
        nizhal_tests::until("the blobs are gone", async || files(dir.path()).is_empty()).await;
    });
}

#[test]
fn another_user_finds_nothing_of_the_first() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let file = dir.path().join("app.db");
        let as_user = |user: &str| setup(&server, user).file(&file).other_user(OtherUser::Wipe).offline();
        let ana = open(as_user("ana")).await;
        let blob = photo(&ana, b"hers").await;
        ana.close().await;
        assert_eq!(files(dir.path()).len(), 1);
        let ben = open(as_user("ben")).await;
        assert!(files(dir.path()).is_empty());
        assert!(ben.blobs().open(&blob).await.is_err());
        assert!(ben.blobs().uploads().await.unwrap().is_empty());
    });
}

#[test]
fn what_is_no_blob_is_refused_and_leaves_nothing() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let client = open(setup(&server, "ana").file(dir.path().join("app.db")).offline()).await;
        assert!(matches!(client.blobs().add(b"", "image/png").await, Err(BlobError::Ref(_))));
        assert!(matches!(client.blobs().add(b"x", "png").await, Err(BlobError::Ref(_))));
        assert!(matches!(
            client.blobs().add_file(dir.path().join("none"), "image/png", None).await,
            Err(BlobError::Io(_))
        ));
        assert!(files(dir.path()).is_empty());
        let path = dir.path().join("photo.png");
        std::fs::write(&path, b"from a file").unwrap();
        let blob = client.blobs().add_file(&path, "image/png", None).await.unwrap();
        assert_eq!(client.blobs().open(&blob).await.unwrap(), b"from a file");
        snap(&client, "a", Some(&blob)).await;
        assert!(!client.blobs().discard(&blob).await.unwrap(), "a mutation names it");
    });
}

#[test]
fn inv27_a_store_that_is_made_anew_keeps_the_blobs_of_what_it_saved() {
    run(async {
        let (server, dir) = (Server::default(), TempDir::in_memory("blobs"));
        let file = dir.path().join("app.db");
        let as_ana = || setup(&server, "ana").file(&file).other_user(OtherUser::Refuse);
        let client = open(as_ana().offline()).await;
        let blob = photo(&client, b"bytes").await;
        snap(&client, "a", Some(&blob)).await;
        client.close().await;
        let sqlite = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query("update _nizhal_meta set format = 1").execute(&sqlite).await.unwrap();
        sqlite.close().await;
        let client = open(as_ana()).await;
        assert_eq!(client.notices().len(), 1, "{:?}", client.notices());
        settled(&client).await;
        let applied = server.served().applied.clone();
        assert_eq!((applied, codes(&client).await), (vec!["a".to_owned()], vec![]));
        assert_eq!(client.blobs().open(&blob).await.unwrap(), b"bytes");
    });
}
