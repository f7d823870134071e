//! A device: the shipped session over a model of its store.

use super::server::{Ask, Cursor, Id, Pushed, Tell, Verdict};
use nizhal_client::session::{Action, Event, Failure, FailureKind, Memory, PullStored, PushStored, Session, Settings};
use std::collections::{BTreeMap, BTreeSet};

/// Far enough from small numbers that moments can be told from counts in a session's text.
const BEGIN: i64 = 1_000_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) id: Id,
    bucket: usize,
    number: usize,
    answered: bool,
}

/// What a crash leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    cursor: Option<Cursor>,
    epoch: Option<u8>,
    client: usize,
    next: usize,
    pub(super) outbox: Vec<Entry>,
    pub(super) rows: BTreeSet<Id>,
    buckets: BTreeMap<Id, usize>,
    pub(super) dead_letters: BTreeSet<Id>,
    rotations: usize,
}

#[derive(Clone)]
pub(super) struct Device {
    at: usize,
    session: Session,
    now: i64,
    pub(super) timer: Option<i64>,
    pub(super) disk: Disk,
    pub(super) written: usize,
    pub(super) ask: Option<Ask>,
    pub(super) tell: Option<(Ask, Tell)>,
    held: Option<(Ask, Tell)>,
    pub(super) wrong: Option<String>,
}

impl Device {
    pub(super) fn new(at: usize) -> Self {
        let disk = Disk { client: at * 100, next: 1, ..Disk::default() };
        let mut device = Self {
            at,
            session: session(),
            now: BEGIN,
            timer: None,
            disk,
            written: 0,
            ask: None,
            tell: None,
            held: None,
            wrong: None,
        };
        device.start();
        device
    }

    fn start(&mut self) {
        self.say(Event::Started(self.memory()));
        self.say(Event::Online);
    }

    /// What its future depends on: moments as distances from now, nothing that only counts upwards.
    pub(super) fn key(&self) -> String {
        let text = format!("{:?}", self.session);
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
            let end = rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |end| start + end);
            let before = &rest[..start];
            out.push_str(before);
            let name = before.rsplit([' ', '(']).find(|part| !part.is_empty() && *part != "Some").unwrap_or_default();
            // Neither how often it failed nor since when matters: every wait is as short as the next.
            let counts =
                ["Random", "failures:", "sent:", "last_synced_ms:", "since:", "unseen_since:", "stream_failures:"];
            match rest[start..end].parse::<i64>() {
                _ if counts.contains(&name) => {}
                Ok(moment) if moment > BEGIN / 2 => out.push_str(&format!("+{}", (moment - self.now).max(0))),
                _ => out.push_str(&rest[start..end]),
            }
            rest = &rest[end..];
        }
        out.push_str(rest);
        let timer = self.timer.map(|at| (at - self.now).max(0));
        format!("{out} {timer:?} {:?} {} {:?} {:?}", self.disk, self.written, self.ask, self.tell)
    }

    fn memory(&self) -> Memory {
        Memory {
            waiting: self.disk.outbox.iter().filter(|entry| !entry.answered).count(),
            dead_letters: self.disk.dead_letters.len(),
            unseen: self.disk.outbox.iter().filter(|entry| entry.answered).count(),
            has_cursor: self.disk.cursor.is_some(),
            staging: false,
            complete: self.disk.cursor.is_some(),
            ..Memory::default()
        }
    }

    pub(super) fn write(&mut self, buckets: &[usize]) {
        let id = (self.at, self.written);
        let entry = Entry { id, bucket: buckets[self.written], number: self.disk.next, answered: false };
        self.disk.outbox.push(entry);
        self.disk.next += 1;
        self.written += 1;
        self.say(Event::Wrote(self.memory()));
    }

    pub(super) fn wake(&mut self) {
        if let Some(at) = self.timer.take() {
            self.now = self.now.max(at);
            self.say(Event::Timer);
        }
    }

    pub(super) fn crash(&mut self) {
        (self.ask, self.tell, self.held, self.timer) = (None, None, None, None);
        self.session = session();
        self.start();
    }

    pub(super) fn hears_nothing(&mut self) {
        let ask = self.ask.take().or_else(|| self.tell.take().map(|(ask, _)| ask));
        let failure = Failure::new(FailureKind::Network, "lost", "lost");
        match ask {
            Some(Ask::Pull { .. }) => self.say(Event::PullFailed(failure)),
            Some(Ask::Push(_)) => self.say(Event::PushFailed(failure)),
            None => {}
        }
    }

    pub(super) fn answered(&mut self) {
        self.held = self.tell.take();
        match &self.held {
            Some((Ask::Pull { .. }, _)) => self.say(Event::PullAnswered),
            Some((Ask::Push(_), _)) => self.say(Event::PushAnswered),
            None => {}
        }
    }

    fn say(&mut self, event: Event) {
        for action in self.session.handle(event, self.now) {
            match action {
                Action::SetTimer(at) => self.timer = at,
                Action::Lead => self.say(Event::Leads(true)),
                Action::Pull { .. } => {
                    self.ask = Some(Ask::Pull { cursor: self.disk.cursor.clone(), client: self.disk.client });
                }
                Action::Push { most } => self.ask = Some(Ask::Push(self.batch(most))),
                Action::StorePull => {
                    let event = self.store_pull();
                    self.say(event);
                }
                Action::StorePush => {
                    let event = self.store_push();
                    self.say(event);
                }
                Action::Rotate | Action::Repair => {
                    self.rotate();
                    self.say(Event::Done(self.memory()));
                }
                Action::PublishStatus(_) => {}
                action => self.wrong = Some(format!("nobody asked for {action:?}")),
            }
        }
    }

    fn batch(&self, most: usize) -> Vec<Pushed> {
        let waiting = self.disk.outbox.iter().filter(|entry| !entry.answered).take(most);
        let client = self.disk.client;
        waiting.map(|entry| Pushed { id: entry.id, bucket: entry.bucket, client, number: entry.number }).collect()
    }

    fn store_pull(&mut self) -> Event {
        let Some((Ask::Pull { cursor, client }, Tell::Pulled { reset, rows, lost, cursor: next, epoch, last, shown })) =
            self.held.take()
        else {
            return Event::StoreFailed(Failure::new(FailureKind::Store, "held", "nothing is held"));
        };
        let disk = &mut self.disk;
        let mut stored = PullStored { moved: true, ..PullStored::default() };
        if cursor == disk.cursor && client == disk.client {
            if reset {
                disk.rows.clear();
            }
            disk.rows.retain(|id| !lost[disk.buckets[id]]);
            disk.buckets.extend(rows.iter().map(|row| (row.id, row.bucket)));
            disk.rows.extend(rows.iter().map(|row| row.id));
            if disk.rows != shown {
                self.wrong = Some(format!("inv03: device {} has {:?}, not {shown:?}", self.at, disk.rows));
            }
            disk.outbox.retain(|entry| entry.number > last || !entry.answered);
            // Covered before its answer came: the answer still comes.
            stored.rotated = disk.epoch.is_some_and(|before| before != epoch);
            (disk.cursor, disk.epoch) = (Some(next), Some(epoch));
            stored.complete = true;
            if stored.rotated {
                self.rotate();
            }
        }
        stored.memory = self.memory();
        Event::PullStored(stored)
    }

    fn store_push(&mut self) -> Event {
        let Some((_, Tell::Pushed(verdicts))) = self.held.take() else {
            return Event::StoreFailed(Failure::new(FailureKind::Store, "held", "nothing is held"));
        };
        let (mut answered, mut parted) = (0, false);
        for (place, (id, verdict)) in verdicts.into_iter().enumerate() {
            let Some(entry) = self.disk.outbox.iter_mut().find(|entry| entry.id == id && !entry.answered) else {
                continue;
            };
            match verdict {
                Verdict::Applied => {
                    entry.answered = true;
                    answered += 1;
                    // In the rows already: nothing is left to wait for.
                    let shows = self.disk.rows.contains(&id);
                    self.disk.outbox.retain(|entry| entry.id != id || !shows);
                }
                Verdict::Refused => {
                    self.disk.outbox.retain(|entry| entry.id != id);
                    self.disk.dead_letters.insert(id);
                    answered += 1;
                }
                Verdict::OutOfOrder { last } => parted |= place == 0 && last < entry.number - 1,
            }
        }
        Event::PushStored(PushStored { memory: self.memory(), answered, parted })
    }

    fn rotate(&mut self) {
        let disk = &mut self.disk;
        disk.rotations += 1;
        disk.client = self.at * 100 + disk.rotations;
        for (number, entry) in (1..).zip(&mut disk.outbox) {
            (entry.number, entry.answered) = (number, false);
        }
        disk.next = disk.outbox.len() + 1;
    }
}

/// Waits of one length, so that worlds that differ in nothing else are one.
fn session() -> Session {
    let settings = Settings {
        realtime: false,
        first_wait_ms: 1,
        longest_wait_ms: 1,
        poll_ms: (10, 10),
        stall_ms: BEGIN / 4,
        batch: 2,
        ..Settings::default()
    };
    Session::new(settings, "model")
}
