//! Photos on devices: taken without a network, and seen on another device once both have met the server.

use crate::fixture::{add, bearer, entries, reached, settled, setup, shop, text};
use crate::process::{Process, Work};
use credit_ledger::mutator::{RecordPayment, record_payment};
use credit_ledger::table::LedgerEntry;
use nizhal::client::{BlobError, Client, Setup};
use nizhal::prelude::*;
use nizhal_tests::{App, Connection, Proxy, TempDir, Weather, both, until};
use std::path::{Path, PathBuf};

both![
    a_photo_taken_offline_is_seen_on_another_device,
    an_upload_that_is_cut_goes_on,
    inv22_an_app_killed_between_photo_upload_and_push_loses_none,
    a_store_that_gives_other_bytes_is_found_out,
];

/// The shop, on a server that keeps blobs in a folder.
async fn with_folder(app: &mut App) -> (Connection, TempDir) {
    let folder = TempDir::new("blobs");
    app.set_up = app.set_up.clone().env("NIZHAL_BLOBS", &format!("file://{}", folder.path().display()));
    app.restart();
    let mut db = shop(app).await;
    db.execute("insert into customers (id, shop_id, name) values ('c1', 's1', 'Sunil')").await;
    (db, folder)
}

async fn open(setup: Setup, url: String, user: &str) -> Client {
    Box::pin(setup.server(url, bearer(user)).open()).await.unwrap()
}

pub(crate) fn payment(id: &str, photo: Option<BlobRef>) -> RecordPayment {
    let amount = serde_json::from_value(5.into()).expect("an amount above zero");
    RecordPayment {
        client_id: text(id),
        customer_id: "c1".to_owned(),
        amount,
        reason: None,
        r#ref: None,
        photo,
        at: None,
    }
}

async fn pay(device: &Client, id: &str, photo: Option<&BlobRef>) {
    device.mutate::<record_payment>(payment(id, photo.cloned())).await.expect("the payment is written down");
}

async fn photo_of(device: &Client, id: &str) -> Option<BlobRef> {
    LedgerEntry::find_by_id(id).one(device.db()).await.expect("entries are read")?.photo
}

fn picture(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

async fn a_photo_taken_offline_is_seen_on_another_device(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let dir = TempDir::in_memory("device");
    let ana = open(setup("ana").file(dir.path().join("app.db")), app.address.at(""), "ana").await;
    let ben = open(setup("ben"), app.address.at(""), "ben").await;
    settled(&ana).await;
    ana.set_online(false);
    reached(&ana, "no network", |status| status.phase == nizhal::client::Phase::Offline).await;
    let bytes = picture(50_000, 1);
    let photo = ana.blobs().add(bytes.clone(), "image/jpeg").await.unwrap();
    pay(&ana, "p1", Some(&photo)).await;
    assert_eq!(photo_of(&ana, "p1").await.as_ref(), Some(&photo), "it shows at once");
    ana.set_online(true);
    settled(&ana).await;
    until("ben sees the photo", async || photo_of(&ben, "p1").await.is_some()).await;
    assert_eq!(ben.blobs().open(&photo).await.unwrap(), bytes);
    assert!(ben.blobs().url(&photo).await.unwrap().contains("token="));
    // A second row with a photo that the server has needs no bytes.
    pay(&ben, "p2", Some(&photo)).await;
    settled(&ben).await;
    assert_eq!((ben.dead_letters().await.unwrap(), ana.dead_letters().await.unwrap()), (vec![], vec![]));
    let unseen = ana.blobs().add(b"no row names these".as_slice(), "text/plain").await.unwrap();
    reached(&ana, "the upload", |status| status.uploads == 0).await;
    let refused = ben.blobs().open(&unseen).await;
    assert!(matches!(&refused, Err(BlobError::Refused(failure)) if failure.code == "not_found"), "{refused:?}");
}

async fn an_upload_that_is_cut_goes_on(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let proxy = Proxy::start(&app.address, nizhal_seeds::state("cut uploads")).await;
    let ana = open(setup("ana"), proxy.address().at(""), "ana").await;
    settled(&ana).await;
    // Each part can pass, and hardly all of them on one connection.
    proxy.set(Weather::Cuts(20_000_000));
    let bytes = picture(30 << 20, 2);
    let photo = ana.blobs().add(bytes.clone(), "video/mp4").await.unwrap();
    pay(&ana, "p1", Some(&photo)).await;
    add(&ana, "c2").await;
    settled(&ana).await;
    assert!(proxy.cuts() > 0, "nothing was cut");
    proxy.set(Weather::Fair);
    let ben = open(setup("ben"), app.address.at(""), "ben").await;
    settled(&ben).await;
    assert_eq!(ben.blobs().open(&photo).await.unwrap(), bytes);
}

async fn inv22_an_app_killed_between_photo_upload_and_push_loses_none(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let dir = TempDir::in_memory("device");
    let (file, url) = (dir.path().join("app.db"), app.address.at(""));
    let first = open(setup("ana").file(&file), url.clone(), "ana").await;
    settled(&first).await;
    first.close().await;
    let mut random = nizhal_core::Random::of(&format!("photo kills {}", nizhal_seeds::first()));
    let mut written = Vec::new();
    for round in 0..nizhal_seeds::count(8) {
        let mut process = Process::begin(&file, &url, round, Work::Photos);
        for _ in 0..=random.below(4) {
            process.writes();
        }
        let spin = random.below(40_000);
        std::hint::black_box((0..spin).fold(0_u64, |sum, n| sum ^ n.wrapping_mul(sum | 1)));
        written.extend(process.kill());
    }
    let last = open(setup("ana").file(&file), url.clone(), "ana").await;
    settled(&last).await;
    assert_eq!(last.dead_letters().await.unwrap(), []);
    let ben = open(setup("ben"), url, "ben").await;
    settled(&ben).await;
    assert!(!written.is_empty() && entries(&ben).await.len() >= written.len());
    for id in written {
        let photo = photo_of(&ben, &id).await.unwrap_or_else(|| panic!("{id} was acknowledged and lost"));
        assert_eq!(ben.blobs().open(&photo).await.unwrap(), id.as_bytes());
    }
}

async fn a_store_that_gives_other_bytes_is_found_out(mut app: App) {
    let (_db, folder) = with_folder(&mut app).await;
    let (ana, ben) =
        (open(setup("ana"), app.address.at(""), "ana").await, open(setup("ben"), app.address.at(""), "ben").await);
    settled(&ana).await;
    let photo = ana.blobs().add(picture(1_000, 3), "image/png").await.unwrap();
    pay(&ana, "p1", Some(&photo)).await;
    settled(&ana).await;
    until("ben sees the photo", async || photo_of(&ben, "p1").await.is_some()).await;
    let files = all_files(folder.path());
    assert!(!files.is_empty());
    for file in files {
        std::fs::write(file, picture(1_000, 4)).unwrap();
    }
    assert!(matches!(ben.blobs().open(&photo).await, Err(BlobError::Changed)));
    assert_eq!(ana.blobs().open(&photo).await.unwrap(), picture(1_000, 3), "who took it has it");
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { all_files(&path) } else { vec![path] }).collect()
}
