//! Lives with disasters on both databases: answers are lost, requests are repeated and given up, servers end and start, backups are put back,
//! memberships are revoked, clocks are wrong, the schema grows. After each, the shop is that of the plain loop.

use super::{
    app,
    order::draw,
    plain::{Act, Deed, Ordered, Outcome},
    world::{World, told},
};
use crate::fixture::both;
use nizhal::TableDesc;
use nizhal_core::{ColumnDesc, Random, SqlType};
use nizhal_runtime::schema::Schema;
use nizhal_tests::{Cluster, Database, Kind, TempDir};
use std::collections::BTreeMap;

/// How many devices a life has.
const DEVICES: usize = 3;

/// One life of a shop.
struct Life {
    world: World,
    kind: Kind,
    /// What each device did, and how much of it was answered.
    acts: Vec<Vec<Act>>,
    answered: Vec<usize>,
    /// What the server has taken in, in the order of the places; and what it refused to those who were no members.
    ordered: Ordered,
    barred: BTreeMap<String, bool>,
    is_grown: bool,
    is_member: bool,
    backup: Option<Backup>,
    random: Random,
}

/// A copy of the database, and what was true of it.
struct Backup {
    copy: Copy,
    ordered: Ordered,
    barred: BTreeMap<String, bool>,
    is_grown: bool,
    is_member: bool,
}

/// Where the copy is.
enum Copy {
    Dump(Vec<u8>),
    File(TempDir),
}

/// The shop's schema, in which a table that is replayed has a column more.
fn grown() -> Schema {
    let grow = |table: &'static TableDesc| -> &'static TableDesc {
        if table.name != "stock" {
            return table;
        }
        let added = ColumnDesc { sql: SqlType::Text, nullable: true, ..ColumnDesc::of::<String>("label") };
        // Descriptions are static, as macros write them; a test makes these once for each life.
        let columns: &'static [ColumnDesc] = Vec::leak(table.columns.iter().copied().chain([added]).collect());
        Box::leak(Box::new(TableDesc { columns, ..*table }))
    };
    let mut rules = app::rules().into_inner();
    for line in rules.iter_mut().flat_map(|rule| &mut rule.tables) {
        line.table = grow(line.table);
    }
    let tables = app::tables().into_iter().map(grow).collect();
    Schema::new(tables, rules, app::mutators()).expect("a sound schema")
}

impl Life {
    async fn new(kind: Kind, seed: u64) -> Self {
        let mut world = World::new(kind).await;
        world.open("s", &["ann"]).await;
        let mut acts = draw(&format!("disaster {seed}"), 24, DEVICES);
        // The clock of one is wrong by minutes, that of another by days.
        for (device, by_ms) in [(1, -180_000), (2, -3 * 86_400_000)] {
            acts[device].iter_mut().for_each(|act| act.millis += by_ms);
        }
        Self {
            world,
            kind,
            acts,
            answered: vec![0; DEVICES],
            ordered: Ordered::default(),
            barred: BTreeMap::new(),
            is_grown: false,
            is_member: true,
            backup: None,
            random: Random::of(&format!("disasters {seed}")),
        }
    }

    fn pick(&mut self, limit: usize) -> usize {
        usize::try_from(self.random.below(limit as u64)).expect("small")
    }

    /// What a device sends next: some of what was not answered.
    fn batch(&mut self, device: usize) -> Vec<Act> {
        let left = &self.acts[device][self.answered[device]..];
        let count = left.len().min(1 + usize::try_from(self.random.below(4)).expect("small"));
        left[..count].to_vec()
    }

    /// Notes what of a batch the server has taken in, whatever became of its answer; how far it is with the device.
    async fn note(&mut self, device: usize) -> usize {
        let sql = format!(
            "select cast(coalesce(max(last_mutation_id), 0) as text) from _nizhal_clients where client_id = 's:{device}'"
        );
        let count: usize = self.world.db.text(&sql).await.parse().expect("a number");
        for act in &self.acts[device][..count] {
            if self.barred.contains_key(&act.id()) || self.ordered.contains(act) {
                continue;
            }
            if self.is_member {
                self.ordered.accept(act.clone());
            } else {
                self.barred.insert(act.id(), false);
            }
        }
        count
    }

    async fn check(&mut self, context: &str) {
        let mut wanted: Outcome = self.ordered.outcome();
        wanted.applied.extend(self.barred.clone());
        assert_eq!(self.world.outcome("s").await, wanted, "{context}: {:#?}", self.ordered);
    }

    fn schema(&self) -> Schema {
        if self.is_grown { grown() } else { app::schema() }
    }

    async fn restart(&mut self) {
        self.world.deploy(self.schema()).await;
    }

    async fn back_up(&mut self) {
        let copy = match self.kind {
            Kind::Postgres => Copy::Dump(Cluster::program("pg_dump", &["--dbname", self.world.database.url()])),
            Kind::Sqlite => {
                let dir = TempDir::in_memory("backup");
                let file = dir.path().join("copy.db");
                self.world.db.execute(&format!("vacuum into '{}'", file.display())).await;
                Copy::File(dir)
            }
        };
        let (ordered, barred) = (self.ordered.clone(), self.barred.clone());
        let (is_grown, is_member) = (self.is_grown, self.is_member);
        self.backup = Some(Backup { copy, ordered, barred, is_grown, is_member });
    }

    async fn restore(&mut self) -> bool {
        let Some(backup) = &self.backup else { return false };
        let database = Database::new(self.kind).await;
        match &backup.copy {
            Copy::Dump(dump) => {
                let dir = TempDir::in_memory("dump");
                let file = dir.path().join("dump.sql").display().to_string();
                std::fs::write(&file, dump).expect("the dump is written");
                let args = ["--dbname", database.url(), "-v", "ON_ERROR_STOP=1", "--quiet", "--file", &file];
                Cluster::program("psql", &args);
            }
            Copy::File(dir) => {
                let to = database.url().trim_start_matches("sqlite://");
                std::fs::copy(dir.path().join("copy.db"), to).expect("a copy");
            }
        }
        (self.ordered, self.barred, self.is_member) = (backup.ordered.clone(), backup.barred.clone(), backup.is_member);
        if backup.is_grown != self.is_grown {
            // Whoever starts the server brings the copy up.
            self.ordered.settle();
        }
        self.world = World::of(database, self.schema()).await;
        for device in 0..DEVICES {
            self.answered[device] = self.note(device).await;
        }
        true
    }

    /// One thing that happens; what it was.
    async fn step(&mut self) -> &'static str {
        let device = self.pick(DEVICES);
        let batch = self.batch(device);
        let sent: Vec<_> = batch.iter().map(|act| act.sent("s")).collect();
        match self.pick(16) {
            0..=4 => {
                let reply = self.world.push("ann", &sent).await;
                assert_eq!(told(&reply).len(), sent.len(), "{reply:?}");
                self.answered[device] = self.note(device).await;
                "answered"
            }
            5 | 6 => {
                self.world.push("ann", &sent).await;
                self.note(device).await;
                "answer lost"
            }
            7 => {
                futures_util::future::join(self.world.push("ann", &sent), self.world.push("ann", &sent)).await;
                self.answered[device] = self.note(device).await;
                "repeated"
            }
            8..=10 => {
                let polls = self.pick(250);
                let given_up = async {
                    for _ in 0..polls {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    _ = self.world.push("ann", &sent) => {}
                    () = given_up => {}
                }
                // What it had asked the database for is over when the next server, or a writer, has its turn.
                self.restart().await;
                self.world.db.execute("update members set user_id = user_id").await;
                self.settled().await;
                self.note(device).await;
                "given up"
            }
            11 => {
                self.restart().await;
                "restarted"
            }
            12 => {
                self.back_up().await;
                "backup"
            }
            13 if self.restore().await => "restored",
            14 => {
                self.is_member = !self.is_member;
                let sql = if self.is_member {
                    "insert into members (shop, user_id) values ('s', 'ann')"
                } else {
                    "delete from members"
                };
                self.world.db.execute(sql).await;
                if self.is_member { "granted" } else { "revoked" }
            }
            15 if !self.is_grown && self.pick(3) == 0 => {
                self.is_grown = true;
                self.restart().await;
                self.ordered.settle();
                "grown"
            }
            _ => "nothing",
        }
    }

    /// Waits until nobody has the space: a push that was given up may still hold it.
    async fn settled(&mut self) {
        match self.kind {
            Kind::Postgres => self.world.db.execute("begin; select 1 from _nizhal_spaces for update; commit").await,
            Kind::Sqlite => self.world.db.execute("begin immediate; commit").await,
        };
    }
}

both![inv37_inv38_lives_with_disasters_equal_the_plain_loop];

async fn inv37_inv38_lives_with_disasters_equal_the_plain_loop(kind: Kind) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut late = 0;
    for seed in nizhal_seeds::range(8) {
        let mut life = Life::new(kind, seed).await;
        let mut story = Vec::new();
        for _ in 0..40 {
            let what = life.step().await;
            *seen.entry(what).or_default() += 1;
            story.push(what);
            life.check(&format!("seed {seed}, {story:?}")).await;
        }
        late += life.ordered.late;
    }
    assert!(late > 0, "none came late: {seen:?}");
}

/// A place that is settled is given to nobody, and two that come behind it are in the order of their ids.
#[test]
fn the_oracle_puts_behind_what_is_settled() {
    let act = |millis, device| Act { millis, device, number: 1, deed: Deed::Pay { amount: 1 } };
    let mut ordered = Ordered::default();
    ordered.accept(act(9, 0));
    ordered.settle();
    ordered.accept(act(3, 2));
    ordered.accept(act(1, 1));
    let rows = ordered.outcome().rows;
    assert_eq!(
        (rows, ordered.late),
        (vec!["entry m0.001 1 1".into(), "entry m1.001 1 2".into(), "entry m2.001 1 3".into()], 1)
    );
}
