//! First syncs by image: the same rows as any first sync, whatever happens between the image and the pull, or to its file.

use crate::fixture::{add, bearer, device, lend, names, settled, setup, shop, text};
use credit_ledger::mutator::{UpdateCustomerName, update_customer_name};
use nizhal::client::transport::{Body, Frames, HttpTransport, Request, Response, Transport};
use nizhal::client::{Client, Failure, FailureKind};
use nizhal_tests::{App, Connection, Reply, Server, TempDir, both, until};
use reqwest::Method;
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

both![
    inv02_an_image_tells_nobody_of_rows_that_are_gone,
    inv03_a_first_sync_by_image_has_the_same_rows,
    inv05_a_file_that_is_no_good_costs_nothing_but_time,
    inv05_a_file_that_is_cut_goes_on_where_it_was,
    inv07_a_bucket_that_is_revoked_while_its_image_comes_is_purged,
    inv08_a_row_that_moved_between_two_images_is_there_once,
    inv09_an_image_older_than_the_oldest_tombstone_is_not_gone_on_from,
    inv10_an_image_of_another_epoch_or_rule_is_not_gone_on_from,
    inv10_a_seed_is_checked_as_a_cursor_is,
    inv19_a_file_is_for_whoever_holds_the_bucket,
];

/// Ends of downloads that are not the server's.
#[derive(Clone, Copy, Debug)]
enum Spoilt {
    /// It is gone.
    Gone,
    /// A byte is another.
    Corrupt,
    /// It ends early, and nobody says so.
    Short,
    /// The connection breaks in the middle.
    Cut,
}

/// An object store that never gives a file out, though the server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Broken {
    /// Nobody reaches it.
    Unreachable,
    /// It is always busy.
    Busy,
    /// It begins at the beginning each time, and breaks off at the same byte.
    Again,
}

#[derive(Default)]
pub(crate) struct Trace {
    /// How many downloads were begun, and how many of those in the middle of a file.
    fetches: AtomicUsize,
    resumed: AtomicUsize,
    spoilt: Mutex<VecDeque<Spoilt>>,
    /// What each download meets.
    broken: Mutex<Option<Broken>>,
    /// Set while downloads wait.
    is_held: AtomicBool,
    arrived: Notify,
    released: Notify,
}

/// The way to the server, watched.
#[derive(Clone)]
pub(crate) struct Watched {
    inner: HttpTransport,
    trace: Arc<Trace>,
}

pub(crate) type Waited<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

impl Watched {
    pub(crate) fn new(app: &App) -> Self {
        Self { inner: HttpTransport::new(&app.address.at("")).expect("an address"), trace: Arc::default() }
    }

    /// The same, whose object store is broken in this way.
    pub(crate) fn broken(app: &App, how: Broken) -> Self {
        let watched = Self::new(app);
        *watched.trace.broken.lock().unwrap() = Some(how);
        watched
    }

    pub(crate) fn fetches(&self) -> usize {
        self.trace.fetches.load(SeqCst)
    }
}

impl Transport for Watched {
    fn send(&self, request: Request) -> Waited<'_, Response> {
        self.inner.send(request)
    }

    fn fetch<'a>(&'a self, url: &'a str, from: u64) -> Waited<'a, Response> {
        Box::pin(async move {
            self.trace.fetches.fetch_add(1, SeqCst);
            self.trace.resumed.fetch_add(usize::from(from > 0), SeqCst);
            if self.trace.is_held.load(SeqCst) {
                self.trace.arrived.notify_one();
                self.trace.released.notified().await;
            }
            let broken = *self.trace.broken.lock().unwrap();
            if let Some(Broken::Unreachable) = broken {
                return Err(Failure::new(FailureKind::Network, "unreachable", "no route to the object store"));
            }
            let from = if broken.is_some() { 0 } else { from };
            let mut response = self.inner.fetch(url, from).await?;
            match broken {
                Some(Broken::Busy) => return Ok(Response { status: 503, ..response }),
                Some(Broken::Again) => {
                    let bytes = response.body.chunk().await?.map(|mut bytes| {
                        bytes.truncate(100);
                        bytes
                    });
                    return Ok(Response { body: Box::new(Spoiled { bytes, is_cut: true }), ..response });
                }
                _ => {}
            }
            let spoilt = self.trace.spoilt.lock().unwrap().pop_front();
            let Some(spoilt) = spoilt else { return Ok(response) };
            let mut bytes = Vec::new();
            while let Some(mut chunk) = response.body.chunk().await? {
                bytes.append(&mut chunk);
            }
            let half = bytes.len() / 2;
            match spoilt {
                Spoilt::Gone => (response.status, bytes) = (404, Vec::new()),
                Spoilt::Corrupt => bytes[half] ^= 1,
                Spoilt::Short | Spoilt::Cut => bytes.truncate(half),
            }
            let is_cut = matches!(spoilt, Spoilt::Cut);
            Ok(Response { body: Box::new(Spoiled { bytes: Some(bytes), is_cut }), ..response })
        })
    }

    fn open<'a>(&'a self, token: &'a str) -> Waited<'a, Box<dyn Frames>> {
        self.inner.open(token)
    }
}

struct Spoiled {
    bytes: Option<Vec<u8>>,
    is_cut: bool,
}

impl Body for Spoiled {
    fn chunk(&mut self) -> Waited<'_, Option<Vec<u8>>> {
        let next = match self.bytes.take() {
            None if self.is_cut => Err(Failure::new(FailureKind::Network, "cut", "the connection broke")),
            next => Ok(next),
        };
        Box::pin(std::future::ready(next))
    }
}

/// Makes images of buckets of 20 rows, in a blob store of its own.
pub(crate) fn with_images(app: &mut App) -> TempDir {
    let dir = TempDir::new("images");
    let store = format!("file://{}", dir.path().display());
    app.set_up = app.set_up.clone().env("NIZHAL_BLOBS", &store).env("NIZHAL_IMAGE_MIN_ROWS", "20");
    app.server.kill();
    app.server = Server::start(&app.set_up, &app.address);
    dir
}

/// A shop with this many customers beside what its name says.
pub(crate) async fn customers(db: &mut Connection, shop: &str, count: u32) {
    db.execute(&format!(
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < {count}) \
         insert into customers (id, shop_id, name) select '{shop}-' || i, '{shop}', 'Name ' || i from n"
    ))
    .await;
}

/// Has an image made of a bucket, and waits for it.
pub(crate) async fn image(app: &App, user: &str, bucket: &str) {
    let path = format!("/sync/image?bucket={bucket}");
    until("the image is made", async || {
        let status = app.get(&path, &bearer(user)).await.status;
        assert!([200, 202, 303].contains(&status), "{status}");
        status != 202
    })
    .await;
}

pub(crate) async fn open(watched: &Watched, user: &str) -> Client {
    let setup = setup(user).transport(watched.clone(), bearer(user));
    Box::pin(setup.open()).await.expect("the device opens")
}

/// The same, with its file in a folder.
async fn open_in(dir: &TempDir, watched: &Watched, user: &str) -> Client {
    let setup = setup(user).file(dir.path().join("device.db")).transport(watched.clone(), bearer(user));
    Box::pin(setup.open()).await.expect("the device opens")
}

/// No file of an image stays beside the device's own.
fn assert_nothing_left(dir: &TempDir) {
    let files = std::fs::read_dir(dir.path()).unwrap().filter_map(Result::ok);
    let left: Vec<_> = files.filter(|file| file.file_name().to_string_lossy().contains(".image-")).collect();
    assert!(left.is_empty(), "{left:?}");
}

pub(crate) async fn assert_same(device: &Client, db: &mut Connection, shops: &str) {
    let sql = format!("select name from customers where shop_id in ({shops}) and deleted_at is null order by id");
    let mut there: Vec<String> = db.rows(&sql).await.into_iter().filter_map(|row| row[0].clone()).collect();
    let mut here = names(device).await;
    here.sort();
    there.sort();
    assert_eq!(here, there);
}

async fn inv03_a_first_sync_by_image_has_the_same_rows(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    // The first one gets rows, and has an image made for those who come after it.
    let first = Watched::new(&app);
    let ana = open(&first, "ana").await;
    settled(&ana).await;
    assert_eq!((first.fetches(), names(&ana).await.len()), (0, 60));
    until("an image is made", async || db.count("_nizhal_images").await == 1).await;
    db.execute("delete from customers where id = 's1-8'").await;
    image(&app, "ana", "myShops:s1").await;
    db.execute("update customers set name = 'Changed' where id = 's1-7'").await;
    add(&ana, "new").await;
    lend(&ana, "e1", "s1-9", 5).await;
    settled(&ana).await;
    let watched = Watched::new(&app);
    let dir = TempDir::in_memory("device");
    let ben = open_in(&dir, &watched, "ben").await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 1, "it took the image");
    assert_same(&ben, &mut db, "'s1'").await;
    assert_eq!(names(&ben).await, names(&ana).await);
    assert_eq!(crate::fixture::entries(&ben).await.len(), 1);
    // From there it goes on as any other.
    add(&ben, "more").await;
    settled(&ben).await;
    until("ana has it", async || names(&ana).await.len() == 61).await;
    assert_nothing_left(&dir);
}

async fn inv05_a_file_that_is_no_good_costs_nothing_but_time(mut app: App) {
    let dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    for spoilt in [Spoilt::Gone, Spoilt::Corrupt] {
        let watched = Watched::new(&app);
        watched.trace.spoilt.lock().unwrap().push_back(spoilt);
        let dir = TempDir::in_memory("device");
        let ben = open_in(&dir, &watched, "ben").await;
        settled(&ben).await;
        assert_eq!(watched.fetches(), 1, "{spoilt:?}: it is not asked for twice");
        assert_same(&ben, &mut db, "'s1'").await;
        assert_nothing_left(&dir);
    }
    // The object store itself lost it.
    remove_files(&dir.path().join("images"));
    let watched = Watched::new(&app);
    let ben = open(&watched, "ben").await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 1);
    assert_same(&ben, &mut db, "'s1'").await;
}

fn remove_files(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().filter_map(Result::ok) {
        if entry.path().is_dir() { remove_files(&entry.path()) } else { std::fs::remove_file(entry.path()).unwrap() }
    }
}

async fn inv05_a_file_that_is_cut_goes_on_where_it_was(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    let watched = Watched::new(&app);
    watched.trace.spoilt.lock().unwrap().extend([Spoilt::Cut, Spoilt::Short]);
    let ben = open(&watched, "ben").await;
    settled(&ben).await;
    assert_eq!((watched.fetches(), watched.trace.resumed.load(SeqCst)), (3, 2));
    assert_same(&ben, &mut db, "'s1'").await;
}

async fn inv07_a_bucket_that_is_revoked_while_its_image_comes_is_purged(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    db.execute("insert into shops (id, name, owner_id) values ('s2', 's2', 'o1')").await;
    db.execute("insert into shop_members (shop_id, user_id, role) values ('s2', 'ben', 'staff')").await;
    customers(&mut db, "s1", 60).await;
    customers(&mut db, "s2", 3).await;
    image(&app, "ben", "myShops:s1").await;
    let watched = Watched::new(&app);
    watched.trace.is_held.store(true, SeqCst);
    let ben = open(&watched, "ben").await;
    watched.trace.arrived.notified().await;
    db.execute("delete from shop_members where shop_id = 's1' and user_id = 'ben'").await;
    watched.trace.is_held.store(false, SeqCst);
    watched.trace.released.notify_one();
    until("what was revoked is gone", async || names(&ben).await.len() == 3).await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 1);
    assert_same(&ben, &mut db, "'s2'").await;
}

async fn inv08_a_row_that_moved_between_two_images_is_there_once(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    db.execute("insert into shops (id, name, owner_id) values ('s2', 's2', 'o1')").await;
    db.execute("insert into shop_members (shop_id, user_id, role) values ('s2', 'ana', 'owner')").await;
    customers(&mut db, "s1", 30).await;
    customers(&mut db, "s2", 30).await;
    image(&app, "ana", "myShops:s1").await;
    db.execute("update customers set shop_id = 's2', name = 'Went to s2' where id = 's1-1'").await;
    db.execute("update customers set shop_id = 's1', name = 'Came to s1' where id = 's2-1'").await;
    image(&app, "ana", "myShops:s2").await;
    db.execute("update customers set shop_id = 's1', name = 'Went at last' where id = 's2-2'").await;
    db.execute("update customers set shop_id = 's2', name = 'There' where id = 's1-2'").await;
    db.execute("update customers set shop_id = 's1', name = 'and back' where id = 's1-2'").await;
    let watched = Watched::new(&app);
    let ana = open(&watched, "ana").await;
    settled(&ana).await;
    assert_eq!(watched.fetches(), 0, "rows left both buckets since");
    assert_same(&ana, &mut db, "'s1', 's2'").await;
    assert_eq!(names(&ana).await.len(), 60);
    // One shop alone is revoked, and takes the rows along that are in it now.
    db.execute("delete from shop_members where shop_id = 's2' and user_id = 'ana'").await;
    until("the rows of s2 are gone", async || names(&ana).await.len() < 60).await;
    settled(&ana).await;
    assert_same(&ana, &mut db, "'s1'").await;
}

/// Whoever holds the bucket only since a row was deleted learns of it neither from the file nor by its tombstone.
async fn inv02_an_image_tells_nobody_of_rows_that_are_gone(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    db.execute("delete from customers where id = 's1-8'").await;
    let request = app.request(Method::POST, "/sync/pull").bearer_auth(bearer("ben")).header("x-nizhal-wire", "2");
    let pulled = Reply::of(request.body(r#"{"cursor":"","images":true}"#)).await.expect(200).json();
    assert_eq!((&pulled["images"], &pulled["tombstoned"]), (&json!(null), &json!([])));
    let watched = Watched::new(&app);
    let ben = open(&watched, "ben").await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 0);
    assert_same(&ben, &mut db, "'s1'").await;
    // The next one is without it.
    image(&app, "ben", "myShops:s1").await;
    let later = Watched::new(&app);
    let ana = open(&later, "ana").await;
    settled(&ana).await;
    assert_eq!((later.fetches(), names(&ana).await.len()), (1, 59));
}

async fn inv09_an_image_older_than_the_oldest_tombstone_is_not_gone_on_from(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    db.execute("delete from customers where id = 's1-8'").await;
    // As the collector does it.
    db.execute("update _nizhal_control set collected = (select max(version) from _nizhal_tombstones)").await;
    db.execute("delete from _nizhal_tombstones").await;
    let watched = Watched::new(&app);
    let ben = open(&watched, "ben").await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 0);
    assert_same(&ben, &mut db, "'s1'").await;
}

async fn inv10_an_image_of_another_epoch_or_rule_is_not_gone_on_from(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    let watched = Watched::new(&app);
    let ben = open(&watched, "ben").await;
    settled(&ben).await;
    assert_eq!(watched.fetches(), 1);
    ben.set_online(false);
    rename(&ben, "s1-3").await;
    add(&ben, "offline").await;
    // The server was restored from before some rows; its image is of the time that is lost.
    db.execute("delete from customers where id in ('s1-1', 's1-2')").await;
    db.execute("delete from _nizhal_tombstones").await;
    assert!(nizhal_tests::verb(&app.set_up, &["epoch", "new"]).status.success());
    ben.set_online(true);
    settled(&ben).await;
    assert_eq!(watched.fetches(), 1);
    assert_same(&ben, &mut db, "'s1'").await;
    assert_eq!(names(&ben).await.len(), 59);
    // The image of the new epoch is laid under what is pending.
    image(&app, "ana", "myShops:s1").await;
    ben.set_online(false);
    rename(&ben, "s1-4").await;
    add(&ben, "again").await;
    // No cursor can be read any more, and the epoch is the same.
    db.execute("update _nizhal_control set secret = 'of another history'").await;
    ben.set_online(true);
    settled(&ben).await;
    assert_eq!(watched.fetches(), 2);
    assert_same(&ben, &mut db, "'s1'").await;
    assert!(names(&ben).await.contains(&"Renamed".to_owned()));
    // Of a rule that shows something else now, or in tables of another shape.
    for column in ["tag", "shape"] {
        db.execute(&format!("update _nizhal_images set {column} = 'another'")).await;
        let watched = Watched::new(&app);
        let device = open(&watched, "ana").await;
        settled(&device).await;
        assert_eq!(watched.fetches(), 0);
        assert_same(&device, &mut db, "'s1'").await;
    }
}

async fn rename(device: &Client, id: &str) {
    let args = UpdateCustomerName { customer_id: id.to_owned(), value: text("Renamed") };
    device.mutate::<update_customer_name>(args).await.expect("the customer is renamed");
}

async fn inv10_a_seed_is_checked_as_a_cursor_is(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    db.execute("delete from customers where id = 's1-8'").await;
    image(&app, "ana", "myShops:s1").await;
    let request = app.request(Method::GET, "/sync/image?bucket=myShops:s1").bearer_auth(bearer("ana"));
    let bytes = request.send().await.unwrap().bytes().await.unwrap();
    let dir = TempDir::in_memory("seed");
    let (seed, other) = (dir.path().join("s1.image"), dir.path().join("other.image"));
    std::fs::write(&seed, &bytes).unwrap();
    std::fs::write(&other, b"no image").unwrap();
    // Nothing is left on the server: what the app came with is enough.
    db.execute("delete from _nizhal_images").await;
    db.execute("update customers set name = 'Changed' where id = 's1-7'").await;
    let seeded = async |user: &str| {
        let watched = Watched::new(&app);
        let setup = setup(user).seed(&other).seed(&seed).transport(watched.clone(), bearer(user));
        let device = Box::pin(setup.open()).await.expect("the device opens");
        settled(&device).await;
        (device, watched.fetches())
    };
    let (ben, fetches) = seeded("ben").await;
    assert_eq!(fetches, 0);
    assert_same(&ben, &mut db, "'s1'").await;
    // Whoever does not hold the bucket gets nothing of it.
    let (eve, _) = seeded("eve").await;
    assert_eq!(names(&eve).await, Vec::<String>::new());
    // What it unpacked of it is gone.
    let dir = TempDir::in_memory("device");
    let setup = setup("eve").file(dir.path().join("device.db")).seed(&seed);
    let setup = setup.transport(Watched::new(&app), bearer("eve"));
    settled(&Box::pin(setup.open()).await.expect("the device opens")).await;
    assert_nothing_left(&dir);
    db.execute("delete from customers where id = 's1-9'").await;
    db.execute("delete from _nizhal_tombstones").await;
    assert!(nizhal_tests::verb(&app.set_up, &["epoch", "new"]).status.success());
    let (ben, _) = seeded("ben").await;
    assert_same(&ben, &mut db, "'s1'").await;
    assert_eq!(names(&ben).await.len(), 58);
}

async fn inv19_a_file_is_for_whoever_holds_the_bucket(mut app: App) {
    let none = app.get("/sync/image?bucket=myShops:s1", &bearer("ana")).await;
    assert_eq!(none.status, 403, "{none:?}");
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 3).await;
    let off = app.get("/sync/image?bucket=myShops:s1", &bearer("ana")).await;
    assert_eq!(off.status, 501, "{off:?}");
    let _dir = with_images(&mut app);
    image(&app, "ana", "myShops:s1").await;
    for (token, bucket, status) in [
        (bearer("eve"), "myShops:s1", 403),
        (bearer("ana"), "myShops:s2", 403),
        (bearer("ana"), "s1", 403),
        (String::new(), "myShops:s1", 401),
    ] {
        let refused = app.get(&format!("/sync/image?bucket={bucket}"), &token).await;
        assert_eq!(refused.status, status, "{bucket}: {refused:?}");
    }
    // A device that does not ask for images is named none.
    let plain = device(&app, "ben").await;
    settled(&plain).await;
    let pulled = app.post("/sync/pull", &bearer("ben"), r#"{"cursor": "", "images": true}"#).await;
    assert_eq!(pulled.json()["images"], serde_json::Value::Null, "wire 1 knows of none");
}
