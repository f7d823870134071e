//! Invariants 13, 22, 23 and 39 at every statement: each step of the store with each error of SQLite, once at each of its statements.

use crate::app::{Device, item, page};
use crate::disk::{dump, works_on};
use crate::image::{named, write_image};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::store::{Draft, LocalImage, Location, OtherUser, PullAnswer, PullStart, SqliteFault, Store as _};
use nizhal_tests::TempDir;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A step of the store.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Mutate,
    /// Two at a time, and one that is refused.
    MutateTogether,
    Refuse,
    BeginPull,
    Spill,
    Pull,
    PullPage,
    PullReset,
    PullImage,
    PullImageReset,
    Push,
    Park,
    Rotate,
    Repair,
    Discard,
}

const ALL: [Operation; 15] = [
    Operation::Mutate,
    Operation::MutateTogether,
    Operation::Refuse,
    Operation::BeginPull,
    Operation::Spill,
    Operation::Pull,
    Operation::PullPage,
    Operation::PullReset,
    Operation::PullImage,
    Operation::PullImageReset,
    Operation::Push,
    Operation::Park,
    Operation::Rotate,
    Operation::Repair,
    Operation::Discard,
];

fn always_seven() -> Uuid {
    Uuid::from_u128(7)
}

impl Operation {
    /// Does it; whether it is acknowledged. `None`: a part of it is, and that part is in the outbox.
    async fn run(self, device: &Device) -> Option<bool> {
        let store = &device.store;
        let asked =
            PullStart { cursor: "c1".to_owned(), client_id: client_id(device).await, seeds: Vec::new(), buckets: None };
        let pull = |page: Value, lines: Vec<Value>| {
            let lines = lines.iter().map(|line| line.to_string().into_bytes()).collect();
            let answer = PullAnswer { images: Vec::new(), lines, page: page.to_string().into_bytes() };
            store.store_pull(&asked, answer, &always_seven)
        };
        let rows = || json!({"items": [item("a", "AA"), item("z", "Z")]});
        let pull_image = |more: Value| {
            let image = LocalImage { bucket: "shops:s1".to_owned(), version: 7, path: beside(device) };
            let mut page = page("c2", rows(), more);
            page["images"] = json!([named(&image)]);
            let answer = PullAnswer { images: vec![image], lines: Vec::new(), page: page.to_string().into_bytes() };
            store.store_pull(&asked, answer, &always_seven)
        };
        let done = match self {
            Self::Mutate => write(device, "new", "new").await,
            Self::MutateTogether => {
                let (x, y, z) = (write(device, "x", "x"), write(device, "y", "a"), write(device, "z", "z"));
                // Tokio may have a task that was busy yield at a free lock: then all three would share a transaction, and not the
                // last two.
                let (x, y, z) = tokio::task::unconstrained(async { tokio::join!(x, y, z) }).await;
                assert!(!y, "there is such an item");
                let waiting: Vec<_> = device.outbox().await.into_iter().map(|m| m.client_mutation_id).collect();
                assert_eq!(["x", "z"].map(|id| waiting.iter().any(|waits| waits == id)), [x, z]);
                if x != z {
                    return None;
                }
                x
            }
            Self::Refuse => write(device, "refused", "a").await,
            Self::BeginPull => store.begin_pull().await.is_ok(),
            Self::Spill => store.spill(&[b"{}".to_vec(), b"{}".to_vec()]).await.is_ok(),
            Self::Pull => {
                let more = json!({"tombstoned": [{"table": "items", "id": "gone"}], "lastMutationId": 1});
                let line = json!({"table": "items", "rows": [item("line", "L")]});
                pull(page("c2", rows(), more), vec![line]).await.is_ok()
            }
            Self::PullPage => pull(page("c2", rows(), json!({"hasMore": true})), Vec::new()).await.is_ok(),
            Self::PullReset => {
                pull(page("c2", rows(), json!({"cursorReset": true, "epoch": "e2"})), Vec::new()).await.is_ok()
            }
            Self::PullImage => pull_image(json!({"lastMutationId": 1})).await.is_ok(),
            Self::PullImageReset => pull_image(json!({"cursorReset": true})).await.is_ok(),
            Self::Push => {
                let results = json!([
                    {"clientMutationId": "first", "status": "applied", "serverId": "s"},
                    {"clientMutationId": "second", "status": "rejected", "code": "rejected", "error": "no"},
                ]);
                store.store_push(&serde_json::from_value::<Vec<_>>(results).unwrap()).await.is_ok()
            }
            Self::Park => store.park("code", "error", &always_seven).await.is_ok(),
            Self::Rotate => store.rotate(&always_seven).await.is_ok(),
            Self::Repair => store.repair(&always_seven).await.is_ok(),
            Self::Discard => store.discard("dead").await.is_ok(),
        };
        Some(done)
    }
}

async fn client_id(device: &Device) -> String {
    device.outbox().await[0].client_id.clone().unwrap_or_default()
}

async fn write(device: &Device, id: &str, item: &str) -> bool {
    let draft = Draft {
        id: id.to_owned(),
        name: "put".to_owned(),
        args: json!({"id": item, "name": "N"}).to_string(),
        now: "2026-11-21T10:00:00Z".parse().unwrap(),
        local: true,
        depends_on: vec!["first".to_owned()],
        replaces: None,
    };
    device.store.mutate(draft).await.is_ok()
}

/// A file with rows, three mutations that wait, and one that was refused.
async fn prepare(path: &Path) {
    let device = open(path).await;
    device.pull(page("c1", json!({"items": [item("a", "A"), item("gone", "G")]}), json!({}))).await;
    device.try_mutate_as("dead", "put", json!({"id": "dead", "name": "D"})).await.unwrap();
    device.answer(1, "rejected").await;
    device.try_mutate_as("first", "put", json!({"id": "b", "name": "B"})).await.unwrap();
    device.try_mutate_as("second", "rename", json!({"id": "b", "name": "BB"})).await.unwrap();
    device.try_mutate_as("third", "bump", json!({"id": "a"})).await.unwrap();
    device.store.close().await;
    let rows = [item("a", "of the image"), item("b", "B"), item("image", "I")];
    write_image(&path.with_file_name("s1.image"), 7, &rows, &[item("unread", "U")]).await;
}

/// The image beside a device.
fn beside(device: &Device) -> PathBuf {
    device.store.path().map(|path| path.with_file_name("s1.image")).unwrap_or_default()
}

async fn open(path: &Path) -> Device {
    Device::open(&Location::File(path.to_owned()), OtherUser::Refuse, "ana").await.expect("the device opens")
}

/// Does it on a copy, with something wrong; whether it was acknowledged, and what is on the disk then.
async fn attempt(
    dir: &TempDir,
    operation: Operation,
    wrong: impl Fn(&Device),
    after: impl Fn(&Device),
    what: &str,
) -> (Option<bool>, Vec<String>) {
    let path = dir.path().join("case.db");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    std::fs::copy(dir.path().join("template.db"), &path).unwrap();
    let device = open(&path).await;
    wrong(&device);
    let done = operation.run(&device).await;
    after(&device);
    let left = dump(&path).await;
    works_on(&device, &path, what).await;
    device.store.close().await;
    (done, left)
}

/// What is on the disk before and after a step in which nothing goes wrong, and how many statements and instructions it takes.
async fn plain(dir: &TempDir, operation: Operation) -> ([Vec<String>; 2], u64, u64) {
    const MANY: u64 = 1 << 40;
    let before = dump(&dir.path().join("template.db")).await;
    let statements = std::cell::Cell::new(0);
    let begin = |device: &Device| statements.set(device.store.statements());
    let end = |device: &Device| statements.set(device.store.statements() - statements.get());
    let (_, after) = attempt(dir, operation, begin, end, "plain").await;
    let instructions = std::cell::Cell::new(0);
    let end = |device: &Device| instructions.set(MANY - device.store.instructions_left());
    attempt(dir, operation, |device| device.store.interrupt_after(MANY), end, "counted").await;
    ([before, after], statements.get(), instructions.get())
}

fn check(states: &[Vec<String>; 2], done: Option<bool>, left: &[String], what: &str) {
    let Some(done) = done else { return };
    let wanted = &states[usize::from(done)];
    assert!(left == *wanted, "{what}: acknowledged: {done}\non the disk: {left:#?}\nwanted: {wanted:#?}");
}

/// The statements of one step with each error.
async fn every_statement(operation: Operation) {
    let dir = TempDir::in_memory("device");
    prepare(&dir.path().join("template.db")).await;
    let (states, statements, _) = plain(&dir, operation).await;
    assert!(statements > 0, "{operation:?} runs no statement");
    let mut failed = 0;
    for statement in 0..statements {
        for fault in SqliteFault::ALL {
            for rolls_back in [true, false] {
                // Where nothing is rolled back, one error is as good as another.
                if !rolls_back && !matches!(fault, SqliteFault::Full | SqliteFault::Busy) {
                    continue;
                }
                let what = format!("{operation:?}, statement {statement} of {statements}: {fault:?}, {rolls_back}");
                let wrong = |device: &Device| device.store.fail_after(statement, fault, rolls_back);
                let after = |device: &Device| assert!(!device.store.spare(), "{what}: nothing failed");
                let (done, left) = attempt(&dir, operation, wrong, after, &what).await;
                check(&states, done, &left, &what);
                failed += usize::from(done != Some(true));
            }
        }
    }
    assert!(failed > 0, "{operation:?} passes whatever fails");
}

/// SQLite interrupts itself, in the middle of statements, also of those that a mutator runs.
async fn interrupted(operation: Operation) {
    let dir = TempDir::in_memory("device");
    prepare(&dir.path().join("template.db")).await;
    let (states, _, instructions) = plain(&dir, operation).await;
    assert!(instructions > 10, "{operation:?} runs {instructions} instructions");
    for at in (1..=instructions).step_by(usize::try_from(instructions / 60).unwrap().max(1)) {
        let what = format!("{operation:?}, interrupted at {at} of {instructions}");
        let wrong = |device: &Device| device.store.interrupt_after(at);
        let after = |device: &Device| assert_eq!(device.store.instructions_left(), 0, "{what}");
        let (done, left) = attempt(&dir, operation, wrong, after, &what).await;
        check(&states, done, &left, &what);
    }
}

#[test]
fn inv13_inv22_inv39_a_mutation_whose_statements_fail() {
    run(async {
        for operation in [Operation::Mutate, Operation::MutateTogether, Operation::Discard] {
            every_statement(operation).await;
        }
    });
}

#[test]
fn inv22_inv39_a_pull_whose_statements_fail() {
    run(async {
        for operation in
            [Operation::BeginPull, Operation::Spill, Operation::PullPage, Operation::Pull, Operation::PullReset]
        {
            every_statement(operation).await;
        }
    });
}

#[test]
fn inv22_inv39_a_pull_with_an_image_whose_statements_fail() {
    run(async {
        for operation in [Operation::PullImage, Operation::PullImageReset] {
            every_statement(operation).await;
        }
    });
}

#[test]
fn inv22_inv23_inv39_a_push_whose_statements_fail() {
    run(async {
        for operation in [Operation::Push, Operation::Park, Operation::Rotate, Operation::Repair] {
            every_statement(operation).await;
        }
    });
}

#[test]
fn inv13_inv22_inv39_any_step_is_interrupted_at_any_instruction() {
    run(async {
        for operation in ALL {
            interrupted(operation).await;
        }
    });
}
