//! Invariant 1 under real concurrency: sixteen writers in plain SQL, four devices that pull all the while.

use crate::dice::Dice;
use crate::fixture::{customers, shop};
use crate::oracle::assert_converged;
use nizhal_tests::{App, Connection, Device, on};
use std::collections::BTreeSet;
use tokio::sync::watch;

on![postgres, Postgres: inv01_nothing_is_skipped_beside_sixteen_writers];

const WRITERS: u64 = 16;
const TRANSACTIONS: u64 = 40;
/// The writers do not run further ahead of the readers than so many commits a page.
const COMMITS_A_PAGE: u64 = 4;
/// At most so many hold their transactions open at a time, so that there always is somebody to commit.
const HOLDERS: u64 = 6;

/// What the writers know of each other.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    commits: u64,
    holding: u64,
    ended: u64,
    pages: u64,
}

impl Progress {
    /// Nobody is left who could commit while the holders wait.
    fn stands_still(&self) -> bool {
        self.holding + self.ended >= WRITERS
    }
}

/// One connection with a seed; it touches rows of its own only, so that no holder stands in another's way.
struct Writer {
    db: Connection,
    dice: Dice,
    number: u64,
    made: u64,
    progress: watch::Sender<Progress>,
    /// Rows that a committed transaction made and none deleted.
    committed: BTreeSet<String>,
}

impl Writer {
    async fn work(mut self) -> BTreeSet<String> {
        for _ in 0..TRANSACTIONS {
            self.transaction().await;
        }
        self.progress.send_modify(|progress| progress.ended += 1);
        self.committed
    }

    async fn transaction(&mut self) {
        let mut seen = self.progress.subscribe();
        let read = |progress: &Progress| progress.commits <= (progress.pages + 1) * COMMITS_A_PAGE;
        seen.wait_for(read).await.expect("the sender is ours");
        self.db.execute("begin").await;
        let mut mine = self.committed.clone();
        for _ in 0..=self.dice.roll(3) {
            if self.dice.roll(3) > 0 {
                self.write(&mut mine).await;
                self.hold().await;
                continue;
            }
            let before = mine.clone();
            self.db.execute("savepoint s").await;
            self.write(&mut mine).await;
            self.hold().await;
            if self.dice.roll(2) == 0 {
                self.db.execute("rollback to savepoint s").await;
                mine = before;
            } else {
                self.db.execute("release savepoint s").await;
            }
        }
        if self.dice.roll(4) == 0 {
            self.db.execute("rollback").await;
        } else {
            self.db.execute("commit").await;
            self.committed = mine;
            self.progress.send_modify(|progress| progress.commits += 1);
        }
    }

    /// Waits, with the transaction open, until others have committed a few times; now and then, and while there are others.
    async fn hold(&mut self) {
        if self.dice.roll(3) > 0 {
            return;
        }
        let others = 1 + self.dice.roll(12);
        let (mut target, mut holds) = (0, false);
        self.progress.send_modify(|progress| {
            holds = progress.holding < HOLDERS;
            progress.holding += u64::from(holds);
            target = progress.commits + others;
        });
        if holds {
            let mut seen = self.progress.subscribe();
            let done = |progress: &Progress| progress.commits >= target || progress.stands_still();
            seen.wait_for(done).await.expect("the sender is ours");
            self.progress.send_modify(|progress| progress.holding -= 1);
        }
    }

    async fn write(&mut self, mine: &mut BTreeSet<String>) {
        let pick = usize::try_from(self.dice.roll(1 + mine.len() as u64)).expect("small");
        let old = mine.iter().nth(pick).cloned();
        match (self.dice.roll(8), old) {
            (0 | 1, Some(id)) if id.starts_with('c') => {
                self.db.execute(&format!("update customers set note = 'n{}' where id = '{id}'", self.made)).await;
            }
            (2, Some(id)) => {
                let table = if id.starts_with('c') { "customers" } else { "ledger_entries" };
                self.db.execute(&format!("delete from {table} where id = '{id}'")).await;
                mine.remove(&id);
            }
            (kind, _) => {
                self.made += 1;
                let id = format!("{}-{:02}-{:03}", if kind % 2 == 0 { "c" } else { "e" }, self.number, self.made);
                let sql = if kind % 2 == 0 {
                    format!("insert into customers (id, shop_id, name) values ('{id}', 's1', 'Name')")
                } else {
                    format!(
                        "insert into ledger_entries (id, shop_id, customer_id, amount, at, created_by) \
                         values ('{id}', 's1', 'c1', 5, now(), 'ana')"
                    )
                };
                self.db.execute(&sql).await;
                mine.insert(id);
            }
        }
    }
}

/// Pulls until the writers have ended; how many pages brought something while they wrote.
async fn read(mut device: Device, limit: Option<i64>, progress: watch::Sender<Progress>) -> (Device, usize) {
    let mut full = 0;
    while progress.borrow().ended < WRITERS {
        // `page` sees to it that no row is twice in an answer.
        let page = device.page(limit).await;
        assert!(!page.reset, "a reset without a reason: {}", page.body);
        full += usize::from(!page.changed.is_empty());
        progress.send_modify(|progress| progress.pages += 1);
    }
    (device, full)
}

async fn inv01_nothing_is_skipped_beside_sixteen_writers(app: App) {
    let mut db = app.sql().await;
    shop(&mut db, "s1", &["ana", "ben"]).await;
    customers(&mut db, "s1", "c", 1).await;
    let progress = watch::Sender::new(Progress::default());
    let mut readers = Vec::new();
    for (number, limit) in [(0, None), (1, Some(3)), (2, Some(25)), (3, Some(200))] {
        let device = app.device(&format!("reader{number}"), ["ana", "ben"][number % 2], "s1");
        readers.push(tokio::spawn(read(device, limit, progress.clone())));
    }
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let (db, dice) = (app.sql().await, Dice::of(&format!("writer {number}")));
        let writer = Writer { db, dice, number, made: 0, progress: progress.clone(), committed: BTreeSet::new() };
        writers.push(tokio::spawn(writer.work()));
    }
    let mut committed = BTreeSet::from(["c1".to_owned()]);
    for writer in writers {
        committed.extend(writer.await.expect("the writer ends"));
    }
    let mut pages = 0;
    for (number, reader) in readers.into_iter().enumerate() {
        let (mut device, full) = reader.await.expect("the reader ends");
        pages += full;
        device.pull().await;
        let held: BTreeSet<String> = device.rows.keys().map(|(_, key)| key.clone()).collect();
        assert_eq!(held, committed, "{}: skipped or left over", device.id);
        assert_converged(&app, &device, ["ana", "ben"][number % 2]).await;
    }
    assert!(pages > 40, "read in {pages} pages only: not beside the writers");
}
