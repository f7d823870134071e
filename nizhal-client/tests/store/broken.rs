//! Invariant 27 on files that are really damaged: they are made anew, and what was not synced is taken over as far as it can be read.

use crate::app::{Device, item, page};
use crate::open::{databases, place};
use crate::run;
use nizhal_client::store::{Lock, Notice, OtherUser, Saved, Store as _};
use nizhal_client::{MutateError, StoreError, session::FailureKind};
use nizhal_tests::TempDir;
use serde_json::{Value, json};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

const ALL: fn(u64) -> Saved = |saved| Saved { saved, lost: Some(0) };

async fn open(dir: &TempDir) -> Device {
    Device::open(&place(dir), OtherUser::Apart, "ana").await.expect("the device opens")
}

/// A device that was closed: 3,000 rows, this many mutations that wait, and one dead letter.
async fn file(dir: &TempDir, waiting: usize) -> PathBuf {
    let ana = open(dir).await;
    ana.pull(page("c1", json!({"items": many()}), json!({}))).await;
    ana.mutate("put", json!({"id": "refused", "name": "N"})).await;
    ana.answer(1, "rejected").await;
    for number in 0..waiting {
        ana.mutate("put", json!({"id": format!("mine-{number:04}"), "name": "n".repeat(300)})).await;
    }
    ana.store.close().await;
    databases(dir.path()).remove(0)
}

fn many() -> Vec<Value> {
    (0..3_000).map(|number| item(&format!("row-{number:04}"), &"long ".repeat(10))).collect()
}

/// Overwrites these leaves of a table in the file.
async fn damage(file: &Path, table: &str, which: impl Fn(usize, usize) -> bool) {
    let sqlite = sqlx::SqlitePool::connect(&format!("sqlite://{}", file.display())).await.unwrap();
    let sql = "select pageno, pgsize from dbstat where name = $1 and pagetype = 'leaf' order by path";
    let pages: Vec<(i64, i64)> = sqlx::query_as(sql).bind(table).fetch_all(&sqlite).await.unwrap();
    sqlite.close().await;
    let bytes = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    let count = pages.len();
    let hit: Vec<_> = pages.iter().enumerate().filter(|(at, _)| which(*at, count)).collect();
    assert!(!hit.is_empty(), "{table} has {count} leaves, and none is hit");
    for (_, &(number, size)) in hit {
        let at = u64::try_from((number - 1) * size).unwrap();
        bytes.write_all_at(&vec![0xA7; usize::try_from(size).unwrap()], at).unwrap();
    }
}

async fn ids(device: &Device) -> Vec<String> {
    device.outbox().await.into_iter().map(|mutation| mutation.client_mutation_id).collect()
}

fn rebuilt(device: &Device) -> (Saved, Saved) {
    let [Notice::Rebuilt { outbox, dead_letters, kept_as, cause }] = &device.notices[..] else {
        panic!("{:?}", device.notices)
    };
    assert!(kept_as.exists() && !cause.is_empty());
    (*outbox, *dead_letters)
}

#[test]
fn inv27_what_waits_and_what_is_parked_survive_damaged_rows() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 3).await;
        damage(&path, "items", |at, count| at == count / 2).await;
        // Out of sight until somebody comes by.
        let ana = open(&dir).await;
        assert_eq!(ana.notices, []);
        let failed = ana.try_pull(page("c2", json!({}), json!({"cursorReset": true}))).await.unwrap_err();
        assert_eq!(failed.failure().kind, FailureKind::StoreLost, "{failed:?}");
        let (before, dead_letters) = (ids(&ana).await, ana.store.dead_letters().await.unwrap());
        ana.store.close().await;
        let ana = open(&dir).await;
        assert_eq!(rebuilt(&ana), (ALL(3), ALL(1)));
        assert_eq!((ids(&ana).await, ana.store.dead_letters().await.unwrap()), (before, dead_letters));
        // It works as any other: rows come again, what waits is laid over them, and the next refusal finds its place.
        ana.pull(page("d1", json!({"items": many()}), json!({}))).await;
        assert_eq!(ana.items().await.len(), 3_003);
        ana.answer(1, "rejected").await;
        assert_eq!((ana.items().await.len(), ana.store.dead_letters().await.unwrap().len()), (3_002, 2));
        ana.store.close().await;
        assert_eq!(open(&dir).await.notices, [], "that is told once");
    });
}

#[test]
fn inv27_a_mutation_that_comes_by_the_damage_has_the_file_made_anew() {
    run(async {
        // In what the mutator reads, and in what is written for it.
        for table in ["items", "_nizhal_outbox"] {
            let dir = TempDir::new("device");
            let path = file(&dir, 3).await;
            damage(&path, table, |_, _| true).await;
            let ana = open(&dir).await;
            assert_eq!(ana.notices, [], "{table}");
            let error = ana.try_mutate("put", json!({"id": "row-0001", "name": "N"})).await.unwrap_err();
            assert!(matches!(&error, MutateError::Store(error) if error.is_lost()), "{table}: {error:?}");
            ana.store.close().await;
            let (outbox, dead_letters) = rebuilt(&open(&dir).await);
            assert_eq!((outbox.saved + outbox.lost.unwrap(), dead_letters), (3, ALL(1)), "{table}");
        }
    });
}

/// Opens, comes by the damage if that was out of sight, and opens again.
async fn found(dir: &TempDir, other: OtherUser) -> Device {
    let place = place(dir);
    let open = || Device::open(&place, other, "ana");
    let opened = open().await.unwrap();
    if !opened.notices.is_empty() {
        return opened;
    }
    let looks = (opened.store.dead_letters().await.err(), opened.store.batch(9_999, usize::MAX).await.err());
    let error = looks.0.or(looks.1).expect("the damage is come by");
    assert!(error.is_lost(), "{error:?}");
    opened.store.close().await;
    open().await.unwrap()
}

#[test]
fn inv27_each_list_is_saved_for_itself() {
    run(async {
        let none = |lost| Saved { saved: 0, lost };
        for (table, other, outbox, dead_letters) in [
            ("_nizhal_dead", OtherUser::Apart, ALL(3), none(Some(1))),
            ("_nizhal_outbox", OtherUser::Apart, none(Some(3)), ALL(1)),
            ("_nizhal_meta", OtherUser::Apart, ALL(3), ALL(1)),
            // Whose that was cannot be told, and nobody sends what may be another's.
            ("_nizhal_meta", OtherUser::Refuse, none(None), none(None)),
        ] {
            let dir = TempDir::new("device");
            let path = file(&dir, 3).await;
            if other == OtherUser::Refuse {
                std::fs::rename(&path, dir.path().join("app.db")).unwrap();
            }
            damage(&databases(dir.path())[0], table, |_, _| true).await;
            let ana = found(&dir, other).await;
            assert_eq!(rebuilt(&ana), (outbox, dead_letters), "{table}");
            let here = (ana.outbox().await.len() as u64, ana.store.dead_letters().await.unwrap().len() as u64);
            assert_eq!(here, (outbox.saved, dead_letters.saved), "{table}");
        }
    });
}

#[test]
fn inv27_entries_around_a_damaged_page_are_saved() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 200).await;
        damage(&path, "_nizhal_outbox", |at, count| at == count / 2).await;
        let ana = found(&dir, OtherUser::Apart).await;
        let (outbox, dead_letters) = rebuilt(&ana);
        let Saved { saved, lost: Some(lost) } = outbox else { panic!("{outbox:?}") };
        assert!(saved + lost == 200 && (1..20).contains(&lost), "{outbox:?}");
        assert_eq!(dead_letters, ALL(1));
        let sent = ana.outbox().await;
        let numbers: Vec<_> = sent.iter().map(|mutation| mutation.mutation_id.unwrap()).collect();
        assert_eq!(numbers, (1..=i64::try_from(saved).unwrap()).collect::<Vec<_>>(), "one sequence without a gap");
        let args = |at: usize| sent[at].args.get().to_owned();
        assert!(args(0).contains("mine-0000") && args(sent.len() - 1).contains("mine-0199"), "both ends, in order");
    });
}

#[test]
fn inv22_a_rebuilding_that_was_interrupted_goes_on() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 3).await;
        damage(&path, "items", |_, _| true).await;
        let ana = open(&dir).await;
        ana.try_pull(page("c2", json!({}), json!({"cursorReset": true}))).await.unwrap_err();
        ana.store.close().await;
        // It died when the old file was aside and the new one half made.
        let mark = std::fs::read_to_string(format!("{}.damaged", path.display())).unwrap();
        let aside = dir.path().join(mark.lines().next().unwrap());
        std::fs::rename(&path, &aside).unwrap();
        std::fs::write(&path, "half").unwrap();
        let ana = open(&dir).await;
        assert_eq!(rebuilt(&ana), (ALL(3), ALL(1)));
        assert_eq!(ana.outbox().await.len(), 3);
    });
}

#[test]
fn inv26_a_broken_file_is_left_to_the_process_that_works_on_it() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 3).await;
        let mut lock = Lock::of(Some(&path)).unwrap();
        assert!(lock.try_acquire().unwrap());
        std::fs::write(&path, b"no database, but long enough to be looked at".repeat(99)).unwrap();
        let refused = Device::open(&place(&dir), OtherUser::Apart, "ana").await;
        assert!(matches!(refused, Err(StoreError::InUse)));
        drop(lock);
        let none = Saved { saved: 0, lost: None };
        let ana = open(&dir).await;
        assert_eq!((rebuilt(&ana), ana.outbox().await.len()), ((none, none), 0));
    });
}

#[test]
fn inv27_a_layout_of_another_version_gives_up_its_lists() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 1).await;
        let sqlite = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        sqlx::query("update _nizhal_meta set format = 99").execute(&sqlite).await.unwrap();
        sqlite.close().await;
        let ana = open(&dir).await;
        assert_eq!(rebuilt(&ana), (ALL(1), ALL(1)));
        ana.pull(page("d1", json!({"items": [item("x", "X")]}), json!({}))).await;
        assert_eq!(ana.items().await.len(), 2);
    });
}

#[test]
fn inv27_half_a_file_is_made_anew() {
    run(async {
        let dir = TempDir::new("device");
        let path = file(&dir, 3).await;
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let ana = found(&dir, OtherUser::Apart).await;
        ana.pull(page("d1", json!({"items": [item("x", "X")]}), json!({}))).await;
        assert!(ana.items().await.iter().any(|(id, ..)| id == "x"));
    });
}
