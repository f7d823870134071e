//! A case as a list of steps, made from a seed before anything runs, so that it can be cut down and printed.

use super::{
    declare::{ADMIN, WRITE},
    plain::{Change, Clash, Only},
    shape::{Actor, Column, STAMP, Shape, Table, USERS, Value},
    source::random::Random,
};
use nizhal_core::wire::Wire;

/// How many cases in a row are of one shape.
pub(super) const LIVES: u64 = 4;

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) shape: Shape,
    /// Actor and wire of each device.
    pub(super) devices: Vec<(usize, Wire)>,
    /// Every commit is one statement, and what each actor ever saw is known.
    pub(super) watched: bool,
    pub(super) steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// One of our own transactions, by a mutator that may write everywhere.
    Ours(Vec<Change>),
    /// A stranger's statements, each by itself or in one transaction.
    Outside {
        changes: Vec<Change>,
        together: bool,
    },
    /// A stranger's transaction that stays open. SQLite has one writer, so only Postgres takes this.
    Hold(Vec<Change>),
    /// The end of what was held.
    LetGo {
        commits: bool,
    },
    /// The device's own wire, its actor, these mutations.
    Push {
        device: usize,
        mutations: Vec<Mutation>,
    },
    /// An earlier push once more, from its actor or in the other wire.
    Redeliver {
        back: usize,
        other_wire: bool,
    },
    Pull(Pull),
    /// The device goes back to where it was before.
    Back {
        device: usize,
        by: usize,
    },
    /// The device lost its cursor, or has one that is none.
    Garble {
        device: usize,
        cursor: &'static str,
    },
    /// Tombstones are forgotten: all, or the older half.
    Collect {
        half: bool,
    },
    Epoch,
}

#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub(super) device: usize,
    /// Whose `deviceId` it says.
    pub(super) says: usize,
    pub(super) limit: i64,
    /// As lines, when it speaks wire 2.
    pub(super) lines: bool,
    pub(super) fate: Fate,
}

/// What becomes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Taken,
    Lost,
    /// Asked for and taken twice.
    Twice,
}

#[derive(Clone, Debug)]
pub(super) struct Mutation {
    pub(super) id: String,
    pub(super) name: &'static str,
    /// The device whose `clientID` it bears, and where in its sequence.
    pub(super) place: Option<(usize, Location)>,
    pub(super) depends_on: Vec<String>,
    pub(super) changes: Vec<Change>,
    pub(super) rejects: bool,
}

/// A place in a client's sequence, found when the step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    Next,
    /// That many before the last.
    Past(i64),
    /// Beyond the next.
    Ahead,
}

impl Script {
    pub(super) fn random(seed: u64) -> Self {
        Self::of(Shape::random(&mut Random::new(seed / LIVES)), seed)
    }

    /// A life of this shape.
    pub(super) fn of(shape: Shape, seed: u64) -> Self {
        let mut random = Random::new(!seed);
        let wires = [Wire::One, Wire::Two];
        let more = usize::from(random.one_in(2));
        let devices: Vec<(usize, Wire)> =
            (0..shape.actors.len() + more).map(|at| (at % shape.actors.len(), *random.pick(&wires))).collect();
        let watched = random.one_in(3);
        let mut maker = Maker { random, shape: &shape, devices: &devices, watched, stamp: 0, ids: 0, held: 0 };
        let count = 8 + maker.random.below(20);
        let focus = maker.focus();
        let mut steps = Vec::new();
        match focus {
            None => {
                steps.push(maker.beginning());
                steps.extend((0..count).map(|_| maker.any_step()));
            }
            Some(focus) => {
                steps.push(maker.close_beginning(focus));
                steps.extend((0..count).map(|_| maker.close_step(focus)));
            }
        }
        Self { shape, devices, watched, steps }
    }
}

pub(super) struct Maker<'a> {
    pub(super) random: Random,
    pub(super) shape: &'a Shape,
    pub(super) devices: &'a [(usize, Wire)],
    pub(super) watched: bool,
    stamp: i64,
    ids: usize,
    held: usize,
}

/// Keys that only held transactions insert, so that nobody waits for them.
const HELD: [&str; 6] = ["h1", "h2", "h3", "h4", "h5", "h6"];

impl Maker<'_> {
    /// Some members and rows, so that there is something to see.
    fn beginning(&mut self) -> Step {
        let members: Vec<usize> = (self.shape.data..self.shape.tables.len()).collect();
        let mut changes = Vec::new();
        for _ in 0..3 + self.random.below(4) {
            let table = *self.random.pick(&members);
            changes.push(self.insert(table, None, Clash::Nothing));
        }
        for _ in 0..self.random.below(5) {
            let table = self.random.below(self.shape.data);
            changes.push(self.insert(table, None, Clash::Nothing));
        }
        Step::Outside { changes, together: !self.watched }
    }

    pub(super) fn any_step(&mut self) -> Step {
        match self.random.below(100) {
            0..=39 => Step::Pull(self.pull()),
            40..=57 => {
                let device = self.random.below(self.devices.len());
                let count = if self.watched { 1 } else { *self.random.pick(&[1, 1, 1, 2, 3]) };
                Step::Push { device, mutations: (0..count).map(|_| self.mutation(device)).collect() }
            }
            58..=61 => Step::Redeliver { back: self.random.below(4), other_wire: self.random.one_in(3) },
            62..=74 => Step::Ours(self.changes(None)),
            75..=86 => {
                let mut changes = self.changes(None);
                for change in &mut changes {
                    // Without `pragma recursive_triggers` SQLite tells no trigger of the row that is replaced.
                    if let Change::Insert { clash: clash @ Clash::Replaces, .. } = change {
                        *clash = Clash::Updates;
                    }
                }
                let together = !self.watched && self.random.one_in(2);
                if !together {
                    // On SQLite a savepoint would begin a transaction.
                    changes.retain(|change| !matches!(change, Change::Savepoint | Change::RollBack | Change::Release));
                }
                Step::Outside { changes, together }
            }
            87..=89 => Step::Hold(self.held()),
            90..=91 => Step::LetGo { commits: !self.random.one_in(4) },
            92..=94 => Step::Back { device: self.random.below(self.devices.len()), by: 1 + self.random.below(4) },
            95 => Step::Garble {
                device: self.random.below(self.devices.len()),
                cursor: self.random.pick::<&str>(&["", "0", "garbage", "AAAA"]),
            },
            96..=98 => Step::Collect { half: self.random.one_in(2) },
            _ => Step::Epoch,
        }
    }

    fn pull(&mut self) -> Pull {
        let device = self.random.below(self.devices.len());
        let says = if self.random.one_in(6) { self.random.below(self.devices.len()) } else { device };
        let fate = match self.random.below(8) {
            0 => Fate::Lost,
            1 => Fate::Twice,
            _ => Fate::Taken,
        };
        let limit = *self.random.pick(&[1, 1, 2, 3, 7, 1000]);
        Pull { device, says, limit, lines: self.random.one_in(6), fate }
    }

    fn mutation(&mut self, device: usize) -> Mutation {
        self.ids += 1;
        let (id, earlier) = (format!("m{}", self.ids), format!("m{}", 1 + self.random.below(self.ids)));
        let id = if self.random.one_in(12) { earlier.clone() } else { id };
        let place = match self.random.below(12) {
            0 => Location::Past(i64::from(self.random.one_in(2))),
            1 => Location::Ahead,
            _ => Location::Next,
        };
        let client = if self.random.one_in(10) { self.random.below(self.devices.len()) } else { device };
        let name = match self.random.below(20) {
            0 => "nothing",
            1 | 2 => ADMIN,
            _ => WRITE,
        };
        let actor = &self.shape.actors[self.devices[device].0];
        Mutation {
            id,
            name,
            place: (!self.random.one_in(6)).then_some((client, place)),
            depends_on: if self.random.one_in(6) { vec![earlier] } else { Vec::new() },
            changes: self.changes(Some(actor)),
            rejects: self.random.one_in(8),
        }
    }

    /// One to four changes, some of them in a savepoint that goes or stays.
    fn changes(&mut self, actor: Option<&Actor>) -> Vec<Change> {
        if self.watched {
            return vec![self.change(actor)];
        }
        let count = *self.random.pick(&[1, 1, 2, 3]);
        let mut changes: Vec<Change> = (0..count).map(|_| self.change(actor)).collect();
        if self.random.one_in(6) {
            changes.insert(self.random.below(changes.len()), Change::Savepoint);
            changes.push(if self.random.one_in(3) { Change::Release } else { Change::RollBack });
            if self.random.one_in(2) {
                changes.push(self.change(actor));
            }
        }
        changes
    }

    fn change(&mut self, actor: Option<&Actor>) -> Change {
        let data = self.shape.data;
        let members = self.shape.tables.len() - data;
        if self.random.one_in(if actor.is_some() { 8 } else { 4 }) {
            let table = data + self.random.below(members);
            let is_synced = self.shape.synced_tables().contains(&table);
            let Table { places, judged, .. } = &self.shape.tables[table];
            return match self.random.below(9) {
                8 if is_synced => {
                    Change::Bury { table, only: self.only(table), dead: self.random.one_in(2), stamp: self.stamp() }
                }
                0..=3 | 8 => self.insert(table, actor, Clash::Updates),
                4 | 5 => Change::Delete { table, only: self.only(table) },
                _ => self.update(table, &[places.as_slice(), judged].concat(), actor),
            };
        }
        let table = self.random.below(data);
        let is_synced = self.shape.synced_tables().contains(&table);
        let Table { places, judged, .. } = &self.shape.tables[table];
        match self.random.below(40) {
            0..=12 => {
                let clash = *self.random.pick(&[Clash::Fails, Clash::Fails, Clash::Updates, Clash::Replaces]);
                self.insert(table, actor, clash)
            }
            13..=20 => self.update(table, places, actor),
            21..=26 if !judged.is_empty() => self.update(table, judged, actor),
            27..=28 => self.update(table, &[0], actor),
            29..=33 => Change::Delete { table, only: self.only(table) },
            34..=38 if is_synced => {
                let dead = self.random.below(3) < 2;
                Change::Bury { table, only: self.only(table), dead, stamp: self.stamp() }
            }
            39 if actor.is_none() && self.random.one_in(3) => Change::Truncate { table },
            _ => self.insert(table, actor, Clash::Fails),
        }
    }

    fn insert(&mut self, table: usize, actor: Option<&Actor>, clash: Clash) -> Change {
        let columns = &self.shape.tables[table].columns;
        let row = columns.iter().map(|column| self.value(column, actor)).collect();
        Change::Insert { table, row, clash }
    }

    /// One or two of these columns get new values.
    fn update(&mut self, table: usize, on: &[usize], actor: Option<&Actor>) -> Change {
        let columns = &self.shape.tables[table].columns;
        let first = *self.random.pick(on);
        let second = *self.random.pick(on);
        let mut set = vec![(first, self.value(&columns[first], actor))];
        if second != first && self.random.one_in(2) {
            set.push((second, self.value(&columns[second], actor)));
        }
        let stamp = self.shape.tables[table].column(STAMP).expect("every table has one");
        set.push((stamp, Value::Int(self.stamp())));
        let moves_key = set.iter().any(|(at, _)| self.shape.tables[table].key.contains(at));
        // A new key for many rows would only clash.
        let only = if moves_key { self.one(table) } else { self.only(table) };
        Change::Update { table, set, only }
    }

    fn only(&mut self, table: usize) -> Only {
        match self.random.below(8) {
            0 => Only::All,
            1 | 2 => {
                let at = self.random.below(self.shape.tables[table].columns.len());
                let column = &self.shape.tables[table].columns[at];
                if column.name == STAMP { Only::All } else { Only::Where(at, self.value(column, None)) }
            }
            _ => self.one(table),
        }
    }

    fn one(&mut self, table: usize) -> Only {
        let key = &self.shape.tables[table].key;
        Only::Key(key.iter().map(|at| self.value(&self.shape.tables[table].columns[*at], None)).collect())
    }

    /// A value, more often than not one that the actor or everybody else likes too.
    pub(super) fn value(&mut self, column: &Column, actor: Option<&Actor>) -> Value {
        if column.name == STAMP {
            return Value::Int(self.stamp());
        }
        let domain = &column.values;
        if let Some(actor) = actor
            && self.random.below(3) < 2
        {
            match column.name {
                "o" | "who" | "user_id" => return Value::Text(actor.user),
                "b" => return Value::Int(actor.number),
                "c" => return Value::Uuid(actor.id),
                _ => {}
            }
        }
        let is_key_like = matches!(column.name, "id" | "o" | "who" | "user_id" | "tenant");
        if !is_key_like && self.random.one_in(2) { domain[0] } else { *self.random.pick(domain) }
    }

    pub(super) fn stamp(&mut self) -> i64 {
        self.stamp += 1;
        self.stamp
    }

    /// Rows under keys of their own.
    fn held(&mut self) -> Vec<Change> {
        let count = if self.watched { 1 } else { 1 + self.random.below(2) };
        (0..count)
            .map(|_| {
                self.held += 1;
                let table = self.random.below(self.shape.data);
                let mut change = self.insert(table, None, Clash::Fails);
                if let Change::Insert { row, .. } = &mut change {
                    row[0] = match row[0] {
                        Value::Uuid(_) => Value::Uuid(1000 + self.held as u128),
                        Value::Int(_) => Value::Int(1000 + i64::try_from(self.held).unwrap_or_default()),
                        _ => Value::Text(HELD[self.held % HELD.len()]),
                    };
                }
                change
            })
            .collect()
    }
}

/// Names that say whose they are.
pub(super) fn client_id(device: usize) -> String {
    format!("{}-d{device}", USERS[device % USERS.len()])
}
