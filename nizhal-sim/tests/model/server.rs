//! A server as the wire protocol describes it: rows in buckets, a version clock, sequences, answers that are kept.

use std::collections::{BTreeMap, BTreeSet};

/// A mutation: its device and its place there.
pub(super) type Id = (usize, usize);

/// What a device holds, in its own memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Cursor {
    epoch: u8,
    version: usize,
    held: [bool; 2],
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pushed {
    pub(super) id: Id,
    pub(super) bucket: usize,
    pub(super) client: usize,
    pub(super) number: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ask {
    Pull { cursor: Option<Cursor>, client: usize },
    Push(Vec<Pushed>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    Applied,
    Refused,
    OutOfOrder { last: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tell {
    Pulled { reset: bool, rows: Vec<Row>, lost: [bool; 2], cursor: Cursor, epoch: u8, last: usize, shown: BTreeSet<Id> },
    Pushed(Vec<(Id, Verdict)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Row {
    pub(super) id: Id,
    pub(super) bucket: usize,
}

#[derive(Clone, Debug, Hash)]
pub(super) struct Server {
    pub(super) epoch: u8,
    /// In the order of their versions, which begin at 1.
    pub(super) rows: Vec<Row>,
    last: BTreeMap<usize, usize>,
    kept: BTreeMap<Id, bool>,
    /// Who holds which bucket.
    pub(super) held: [[bool; 2]; 2],
}

impl Server {
    pub(super) fn new() -> Self {
        let held = [[true, true], [true, false]];
        Self { epoch: 0, rows: Vec::new(), last: BTreeMap::new(), kept: BTreeMap::new(), held }
    }

    pub(super) fn shown(&self, user: usize) -> BTreeSet<Id> {
        self.rows.iter().filter(|row| self.held[user][row.bucket]).map(|row| row.id).collect()
    }

    pub(super) fn answer(&mut self, user: usize, ask: &Ask) -> Tell {
        match ask {
            Ask::Pull { cursor, client } => self.pull(user, cursor.as_ref(), *client),
            Ask::Push(batch) => Tell::Pushed(self.push(user, batch)),
        }
    }

    fn pull(&self, user: usize, cursor: Option<&Cursor>, client: usize) -> Tell {
        let held = self.held[user];
        let known = cursor.filter(|cursor| cursor.epoch == self.epoch);
        let after = |bucket: usize| match known {
            Some(cursor) if cursor.held[bucket] => cursor.version,
            _ => 0,
        };
        let fresh = self.rows.iter().enumerate().filter(|(at, row)| held[row.bucket] && *at >= after(row.bucket));
        Tell::Pulled {
            reset: known.is_none(),
            rows: fresh.map(|(_, row)| *row).collect(),
            lost: [0, 1].map(|bucket| known.is_some_and(|cursor| cursor.held[bucket]) && !held[bucket]),
            cursor: Cursor { epoch: self.epoch, version: self.rows.len(), held },
            epoch: self.epoch,
            last: self.last.get(&client).copied().unwrap_or(0),
            shown: self.shown(user),
        }
    }

    fn push(&mut self, user: usize, batch: &[Pushed]) -> Vec<(Id, Verdict)> {
        let mut verdicts = Vec::new();
        for pushed in batch {
            let last = self.last.get(&pushed.client).copied().unwrap_or(0);
            let kept = self.kept.get(&pushed.id).copied();
            let verdict_of = |applied| if applied { Verdict::Applied } else { Verdict::Refused };
            let verdict = if pushed.number > last + 1 {
                Verdict::OutOfOrder { last }
            } else if pushed.number <= last {
                // A number of this client's that another mutation used: never, for numbers are given once.
                kept.map_or(Verdict::OutOfOrder { last }, verdict_of)
            } else {
                self.last.insert(pushed.client, pushed.number);
                let applied = kept.unwrap_or_else(|| {
                    let may = self.held[user][pushed.bucket];
                    if may {
                        self.rows.push(Row { id: pushed.id, bucket: pushed.bucket });
                    }
                    may
                });
                self.kept.insert(pushed.id, applied);
                verdict_of(applied)
            };
            verdicts.push((pushed.id, verdict));
        }
        verdicts
    }
}
