//! Mutators that meddle with the transaction they run in, and disks that are really full.

use crate::app::{Device, item, page};
use crate::disk::{dump, outbox, works_on};
use crate::run;
use nizhal_client::MutateError;
use nizhal_client::store::{Location, OtherUser, StoreError};
use nizhal_tests::TempDir;
use serde_json::json;
use std::path::{Path, PathBuf};

async fn device(dir: &TempDir) -> (Device, PathBuf) {
    let path = dir.path().join("app.db");
    let device = Device::open(&Location::File(path.clone()), OtherUser::Refuse, "ana").await.expect("the device opens");
    device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
    device.mutate("put", json!({"id": "b", "name": "B"})).await;
    (device, path)
}

fn raw(id: &str, sql: &[&str], pass_over: bool, refuse: bool) -> serde_json::Value {
    json!({"id": id, "sql": sql, "passOver": pass_over, "refuse": refuse})
}

/// What ends the transaction, by itself or in the end.
const ENDINGS: [&[&str]; 11] = [
    &["commit"],
    &["end"],
    &["rollback"],
    &["COMMIT; BEGIN IMMEDIATE"],
    &["rollback; begin immediate"],
    &["rollback", "insert into items (id, shop, name, count) values ('stray', 's1', 'S', 0)"],
    &["insert or rollback into items (id, shop, name, count) values ('a', 's1', 'S', 0)"],
    &[
        "create temp table t (x)",
        "create temp trigger r before insert on t begin select raise(rollback, 'r'); end",
        "insert into t values (1)",
    ],
    &["release _nizhal_mutator"],
    &["release _sqlx_savepoint_1"],
    &["rollback to _nizhal_mutator", "release _nizhal_mutator"],
];

#[test]
fn inv39_a_mutator_that_ends_its_transaction_is_refused() {
    run(async {
        for (number, sql) in ENDINGS.iter().enumerate() {
            for (pass_over, refuse) in [(false, false), (true, false), (true, true)] {
                for others in [0, 2] {
                    let what = format!("{sql:?}, passes over: {pass_over}, refuses: {refuse}, with {others} others");
                    let dir = TempDir::in_memory("device");
                    let (device, path) = device(&dir).await;
                    let before = outbox(&path).await;
                    let intruder = device.try_mutate("raw", raw("r", sql, pass_over, refuse));
                    let beside =
                        (0..others).map(|at| device.try_mutate("put", json!({"id": format!("o{at}"), "name": "O"})));
                    let (done, beside) = tokio::join!(intruder, futures_util::future::join_all(beside));
                    if number < 6 && !refuse {
                        assert!(matches!(done, Err(MutateError::EndedTransaction("raw"))), "{what}: {done:?}");
                    }
                    assert!(done.is_err(), "{what}: {done:?}");
                    assert!(beside.iter().all(Result::is_ok), "{what}: others suffer: {beside:?}");
                    assert_eq!(outbox(&path).await.len(), before.len() + others, "{what}");
                    let names = device.names().await;
                    assert!(!names.contains("raw") && !names.contains('S'), "{what}: {names}");
                    works_on(&device, &path, &what).await;
                }
            }
        }
    });
}

/// A file that may not grow fails the mutator's statement, not its transaction: what it passes over is its own affair.
#[test]
fn inv22_a_mutator_that_finds_no_room() {
    run(async {
        let dir = TempDir::in_memory("device");
        let (device, path) = device(&dir).await;
        let before = dump(&path).await;
        let rows = "insert into items (id, shop, name, count) \
            select 'f' || value, 's1', hex(zeroblob(9000)), 0 from json_each('[1,2,3,4,5,6,7,8,9]')";
        let full = device.try_mutate("raw", raw("r", &["pragma max_page_count = 1", rows], false, false)).await;
        assert!(matches!(full, Err(MutateError::Store(StoreError::Db(_)))), "{full:?}");
        assert_eq!(dump(&path).await, before);
        works_on(&device, &path, "with room again").await;
    });
}

#[test]
fn inv14_savepoints_of_a_mutators_own_leave_nothing_behind() {
    run(async {
        for sql in [&["savepoint mine"][..], &["savepoint _sqlx_savepoint_1"], &["savepoint _nizhal_mutator"]] {
            for refuse in [false, true] {
                let dir = TempDir::in_memory("device");
                let (device, path) = device(&dir).await;
                let before = dump(&path).await;
                let done = device.try_mutate("raw", raw("r", sql, false, refuse)).await;
                let what = format!("{sql:?}, refuses: {refuse}: {done:?}");
                assert_eq!(device.names().await.contains("r=raw"), done.is_ok(), "{what}");
                if done.is_err() {
                    assert_eq!(dump(&path).await, before, "{what}");
                }
                works_on(&device, &path, &what).await;
            }
        }
    });
}

/// It fitted when it was written; over the rows of now it rolls all back, each time that it is run.
#[test]
fn inv04_inv41_a_pending_mutator_that_ends_its_transaction_stops_nothing() {
    run(async {
        let dir = TempDir::in_memory("device");
        let (device, path) = device(&dir).await;
        let sql = "insert or rollback into items (id, shop, name, count, code) values ('mine', 's1', 'M', 0, 'k')";
        device.mutate("raw", raw("r", &[sql], true, false)).await;
        device.mutate("put", json!({"id": "c", "name": "C"})).await;
        let row = json!({"id": "theirs", "shop": "s1", "name": "T", "count": "0", "code": "k"});
        let next = page("c2", json!({"items": [row]}), json!({}));
        let failed = device.try_pull(next.clone()).await.unwrap_err();
        assert!(matches!(failed, StoreError::EndedByMutator { name: "raw", .. }), "{failed:?}");
        device.pull(next.clone()).await;
        assert_eq!(device.names().await, "a=A b=B c=C theirs=T");
        assert_eq!(device.outbox().await.len(), 3, "the server decides on it");
        works_on(&device, &path, "afterwards").await;
    });
}

/// A file system of its own, so small that it fills; `None` where this process may not mount one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = TempDir::new("small-disk");
        let size = format!("size={megabytes}m");
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Writes until the disk is full, has room made, and goes on; what was acknowledged is on the disk.
async fn fill(path: &Path, make_room: impl Fn()) {
    let device =
        Device::open(&Location::File(path.to_owned()), OtherUser::Refuse, "ana").await.expect("the device opens");
    let (mut acknowledged, mut failures) = (Vec::new(), 0);
    for number in 0..4_000 {
        let id = format!("m{number}");
        match device.try_mutate_as(&id, "put", json!({"id": id, "name": "n".repeat(2_000)})).await {
            Ok(_) => acknowledged.push(id),
            Err(MutateError::Store(_)) => failures += 1,
            Err(error) => panic!("{error:?}"),
        }
        if failures == 5 {
            break;
        }
    }
    assert!(failures == 5 && acknowledged.len() > 20, "{failures} failures after {} writes", acknowledged.len());
    assert_eq!(outbox(path).await, acknowledged);
    make_room();
    works_on(&device, path, "with room again").await;
    let left = outbox(path).await;
    device.store.close().await;
    let again = Device::open(&Location::File(path.to_owned()), OtherUser::Refuse, "ana").await.expect("it opens again");
    assert_eq!(again.outbox().await.len(), left.len(), "a restart loses nothing");
    assert_eq!(left.len(), acknowledged.len() + 4);
}

#[test]
fn inv13_inv39_a_full_disk() {
    let Some(disk) = SmallDisk::mount(2) else {
        return println!("only root may mount a small disk: `inv13_inv39_a_file_that_may_not_grow` does the same");
    };
    let ballast = disk.0.path().join("ballast");
    std::fs::write(&ballast, vec![1; 700_000]).expect("there is room for it");
    run(fill(&disk.0.path().join("app.db"), || std::fs::remove_file(&ballast).expect("it goes")));
}

/// A process that may write no file longer than a limit; it would be ended by a signal unless that is ignored.
#[test]
fn inv13_inv39_a_file_that_may_not_grow() {
    const CHILD: &str = "NIZHAL_TEST_FILE_LIMIT";
    if std::env::var_os(CHILD).is_none() {
        let me = std::env::current_exe().expect("this test's program");
        let mut child = std::process::Command::new("sh");
        child.args(["-c", "trap '' XFSZ; exec \"$0\" --exact intruder::inv13_inv39_a_file_that_may_not_grow"]);
        let output = child.arg(me).env(CHILD, "1").output().expect("the shell runs");
        let said = String::from_utf8_lossy(&output.stdout);
        return assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    let dir = TempDir::in_memory("device");
    let (_, hard) = rlimit::getrlimit(rlimit::Resource::FSIZE).expect("the limit is read");
    let limit = |bytes| rlimit::setrlimit(rlimit::Resource::FSIZE, bytes, hard).expect("the limit is set");
    limit(3_000_000);
    run(fill(&dir.path().join("app.db"), || limit(hard)));
}
