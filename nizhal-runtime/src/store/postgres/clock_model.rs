//! The version clock's argument, checked: every interleaving of two writers and a reader, who reads once or twice, small enough to
//! try them all.
//!
//! The model knows what `clock.rs` rests on: reading the sequence, taking a lock, drawing, becoming visible at commit, and
//! releasing locks are separate moments; a savepoint rolled back takes its lock and its note with it.

use std::collections::{BTreeSet, HashSet};

/// One moment of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    /// Reads the sequence's last value.
    ReadLast,
    /// Takes the lock that encodes it.
    Lock,
    /// Draws a version and writes a row with it.
    Draw,
    /// A rolled-back savepoint: the row, the lock and the noted version are gone.
    RollBackSavepoint,
    /// Commit makes the row visible …
    Visible,
    /// … and then releases the lock.
    Release,
}

/// One moment of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Read {
    Last,
    /// Unless all up to there was there when it was read before.
    Locks,
    /// The same, but takes all for there whatever the locks say.
    LocksHastily,
    Rows,
}

use Write::{Draw, Lock, ReadLast, Release, RollBackSavepoint, Visible};

const COMMITS: &[Write] = &[ReadLast, Lock, Draw, Visible, Release];
const ROLLS_BACK: &[Write] = &[ReadLast, Lock, Draw, Release];
const SAVEPOINT: &[Write] = &[ReadLast, Lock, Draw, RollBackSavepoint, ReadLast, Lock, Draw, Visible, Release];
const READER: &[Read] = &[Read::Last, Read::Locks, Read::Rows];
/// The same session's next pull too.
const READER_TWICE: &[Read] = &[Read::Last, Read::Locks, Read::Rows, Read::Last, Read::Locks, Read::Rows];

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Writer {
    at: usize,
    last: u8,
    lock: Option<u8>,
    version: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    sequence: u8,
    visible: BTreeSet<u8>,
    writers: [Writer; 2],
    read: usize,
    clock: u8,
    lowest: u8,
    /// The last value up to which all was there.
    whole: u8,
    snapshot: Option<BTreeSet<u8>>,
}

struct Model {
    writers: [&'static [Write]; 2],
    reader: &'static [Read],
}

impl Model {
    /// The number of states tried, or the first schedule's end in which the reader skipped a row.
    fn check(&self) -> Result<usize, State> {
        let start = State {
            sequence: 1,
            visible: BTreeSet::new(),
            writers: Default::default(),
            read: 0,
            clock: 0,
            lowest: u8::MAX,
            whole: 0,
            snapshot: None,
        };
        let (mut seen, mut open) = (HashSet::from([start.clone()]), vec![start]);
        while let Some(state) = open.pop() {
            let next = self.successors(&state);
            if next.is_empty() && skipped(&state) {
                return Err(state);
            }
            open.extend(next.into_iter().filter(|state| seen.insert(state.clone())));
        }
        Ok(seen.len())
    }

    fn successors(&self, state: &State) -> Vec<State> {
        let mut next = Vec::new();
        for (which, program) in self.writers.iter().enumerate() {
            if let Some(&moment) = program.get(state.writers[which].at) {
                let mut state = state.clone();
                write(&mut state, which, moment);
                state.writers[which].at += 1;
                next.push(state);
            }
        }
        if let Some(&moment) = self.reader.get(state.read) {
            let mut state = state.clone();
            match moment {
                Read::Last => state.clock = state.sequence,
                Read::Locks | Read::LocksHastily if state.whole == state.clock => state.lowest = u8::MAX,
                Read::Locks | Read::LocksHastily => {
                    state.lowest = state.writers.iter().filter_map(|w| w.lock).min().unwrap_or(u8::MAX);
                    if state.lowest >= state.clock || moment == Read::LocksHastily {
                        state.whole = state.clock;
                    }
                }
                Read::Rows => state.snapshot = Some(state.visible.clone()),
            }
            state.read += 1;
            next.push(state);
        }
        next
    }
}

fn write(state: &mut State, which: usize, moment: Write) {
    let writer = &mut state.writers[which];
    match moment {
        ReadLast => writer.last = state.sequence,
        Lock => writer.lock = Some(writer.last),
        Draw => {
            state.sequence += 1;
            writer.version = Some(state.sequence);
        }
        RollBackSavepoint => (writer.lock, writer.version) = (None, None),
        Visible => state.visible.extend(writer.version),
        Release => writer.lock = None,
    }
}

/// Whether a row at or below the horizon is committed in the end and was not in the snapshot.
fn skipped(state: &State) -> bool {
    let horizon = state.clock.min(state.lowest);
    let snapshot = state.snapshot.as_ref().expect("the reader has run to its end");
    state.visible.iter().any(|version| *version <= horizon && !snapshot.contains(version))
}

fn pairs() -> Vec<[&'static [Write]; 2]> {
    let all = [COMMITS, ROLLS_BACK, SAVEPOINT];
    all.iter().flat_map(|&first| all.iter().map(move |&second| [first, second])).collect()
}

#[test]
fn inv01_no_interleaving_skips_a_row() {
    for (writers, reader) in pairs().into_iter().flat_map(|writers| [(writers, READER), (writers, READER_TWICE)]) {
        let tried = Model { writers, reader }.check();
        assert!(tried.is_ok_and(|states| states > 100), "{writers:?}, {reader:?}");
    }
}

#[test]
fn inv01_every_other_way_to_read_skips_rows() {
    let others: [&[Read]; 4] = [
        &[Read::Locks, Read::Last, Read::Rows],
        &[Read::Rows, Read::Last, Read::Locks],
        &[Read::Last, Read::Rows, Read::Locks],
        &[Read::Last, Read::LocksHastily, Read::Rows, Read::Last, Read::LocksHastily, Read::Rows],
    ];
    for reader in others {
        let found = pairs().into_iter().any(|writers| Model { writers, reader }.check().is_err());
        assert!(found, "{reader:?} is as good, so the model proves nothing");
    }
}

#[test]
fn inv01_a_writer_that_draws_before_it_locks_is_skipped() {
    let careless: &[Write] = &[ReadLast, Draw, Lock, Visible, Release];
    assert!(Model { writers: [careless, COMMITS], reader: READER }.check().is_err());
    let hasty: &[Write] = &[ReadLast, Lock, Draw, Release, Visible];
    assert!(Model { writers: [hasty, COMMITS], reader: READER }.check().is_err());
}
