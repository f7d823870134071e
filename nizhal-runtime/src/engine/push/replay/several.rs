//! Several mutations of one client in their places, in one transaction: one commit for all, and one rewind of each space.
//!
//! Without savepoints first, where all come in order: a refusal needs one, and then all is rolled back and tried again. Whatever else comes in
//! between that [`Trial`] does not know rolls all of it back, and the mutations are taken one at a time.

use super::{
    arrive::{Arrival, Arrived, How, InPlace, add},
    space::ReplaySpace,
};
use crate::engine::push::{
    acknowledged::Acknowledged,
    actor::{Holding, Holdings},
    batch::MAX_BATCH_DURATION,
    key::{key_of, recorded, verdict_of},
    reply::{Answer, PushError, numbered},
    transact::News,
    trial::{AttemptEnd, Trial},
};
use crate::{
    engine::Engine,
    store::{CommitSlot, Ended, PullHeader, Record, RecordResults, WriteSetSeal, Written},
};
use nizhal_core::{
    Principal,
    wire::{Mutation, Wire},
};
use sea_orm::DatabaseTransaction;
use std::collections::BTreeMap;

/// How often they are tried where the database says that they may succeed.
const MAX_TRIES: usize = 5;

/// Mutations that a client sent in one request.
#[derive(Clone, Copy)]
pub(in crate::engine::push) struct SentTogether<'a> {
    pub(in crate::engine::push) principal: &'a Principal,
    pub(in crate::engine::push) wire: Wire,
    pub(in crate::engine::push) mutations: &'a [Mutation],
    pub(in crate::engine::push) acknowledged: &'a Acknowledged,
}

/// The mutations of a space, each with its place in the request.
struct Group<'a> {
    within: ReplaySpace,
    arrivals: Vec<Arrival<'a>>,
    at: Vec<usize>,
}

impl Engine {
    /// How many mutations, from the first on, can take their places together: all replayed, of one client and the next in its sequence, or
    /// of none; none that depends on one of another space.
    pub(in crate::engine::push) fn replayed_len(&self, mutations: &[Mutation]) -> usize {
        let (mut spaces, Some(first)) = (BTreeMap::new(), mutations.first()) else { return 0 };
        let numbered = |mutation: &Mutation| numbered(mutation).filter(|_| mutation.client_id.is_some());
        for (index, mutation) in (0..).zip(mutations) {
            let number = numbered(first).and_then(|start| start.checked_add(index));
            let is_next = mutation.client_id == first.client_id && numbered(mutation) == number;
            let entry = self.schema.mutator(&mutation.name).filter(|entry| entry.desc.replay.is_some());
            let Some(space) = entry.and_then(|entry| ReplaySpace::of(entry, mutation).ok()) else { break };
            let is_apart = |on: &String| spaces.get(on).is_some_and(|other| *other != space.name);
            if !is_next || mutation.depends_on.iter().any(is_apart) {
                break;
            }
            if spaces.insert(mutation.client_mutation_id.clone(), space.name).is_some() {
                // Sent twice.
                break;
            }
        }
        spaces.len()
    }

    /// Tries them in one transaction: the answers to those that were done, from the first on. None when they are to be taken one at a time.
    pub(in crate::engine::push) async fn replay_together(&self, sent: SentTogether<'_>) -> Vec<Answer> {
        let (mut trial, mut tries) = (Trial::default(), 0);
        loop {
            match self.attempt_together(sent, &trial).await {
                Ok(answers) => return answers,
                Err(AttemptEnd::Again(_)) if tries < MAX_TRIES => {
                    tries += 1;
                    tokio::task::yield_now().await;
                }
                Err(end) => {
                    if trial.learn(end).is_err() {
                        // Taken alone, each meets the fault or not, and says so where it does.
                        return Vec::new();
                    }
                }
            }
        }
    }

    async fn attempt_together(&self, sent: SentTogether<'_>, trial: &Trial) -> Result<Vec<Answer>, AttemptEnd> {
        let (tx, slot) = self.store.begin_push(false).await?;
        let (tx, news, answers) = match self.attempt_together_on(tx, &slot, sent, trial).await {
            Ok(done) => done,
            Err(end) => {
                slot.abandon(None, false).await;
                return Err(end);
            }
        };
        slot.commit(tx).await?;
        self.publish(&news);
        Ok(answers)
    }

    async fn attempt_together_on(
        &self,
        mut tx: DatabaseTransaction,
        slot: &CommitSlot<'_>,
        sent: SentTogether<'_>,
        trial: &Trial,
    ) -> Result<(DatabaseTransaction, News, Vec<Answer>), AttemptEnd> {
        let SentTogether { principal, wire, mutations, .. } = sent;
        let seal = WriteSetSeal::draw();
        let admitted = self.admit_all(&tx, slot, (principal, &seal), mutations).await;
        let before = admitted.map_err(|_| AttemptEnd::Alone)?;
        if self.missing_blobs(&tx, principal, mutations).await?.is_some() {
            return Err(AttemptEnd::Alone);
        }
        let groups = self.groups(sent)?;
        let members = self.store.on(&tx).members(principal).await?;
        let buckets = groups.values().map(|group| &group.within.bucket);
        if Holdings::new(&self.schema, principal, None, &members).all(buckets) != Holding::Own {
            return Err(AttemptEnd::Alone);
        }
        let is_privileged = |group: &Group<'_>| group.arrivals.iter().any(|one| !one.entry.desc.privileged.is_empty());
        // What one space wrote must not be taken for what was taken back in another.
        let takes_write_sets = self.store.is_audited() || groups.len() > 1 || groups.values().any(is_privileged);
        let limit = (groups.len() == 1).then_some(MAX_BATCH_DURATION);
        let (mut done, mut rest, mut is_taken) = (BTreeMap::new(), Written::default(), takes_write_sets);
        // In the order of their names, so that no two wait for each other.
        for (nth, group) in groups.values().enumerate() {
            let statements = false;
            let how = How { principal, wire, seal: &seal, trial, statements, takes_write_sets, limit, nth };
            let placed = self.arrive(tx, how, &group.within, &group.arrivals).await?;
            let InPlace { tx: back, arrived, written, is_taken: took } = placed;
            (tx, is_taken) = (back, is_taken || took);
            add(&mut rest, written);
            for ((&at, arrival), arrived) in group.at.iter().zip(&group.arrivals).zip(arrived) {
                done.insert(at, (&group.within, arrival, arrived));
            }
        }
        if done.values().any(|(_, _, arrived)| is_alone(wire, arrived)) {
            return Err(AttemptEnd::Alone);
        }
        let header = PullHeader { members, ..PullHeader::default() };
        let written = self.record_together(&tx, sent, (before, &seal), &mut done, (rest, is_taken)).await?;
        for (within, arrival, arrived) in done.values() {
            let judged = [&arrived.written].into_iter().chain((!is_taken).then_some(&written));
            for wrote in judged {
                let holding = self.judge_writes((principal, arrival.entry), None, &wrote.write_set, &header)?;
                if holding != Holding::Own || (!is_taken && self.foreign_to(within, wrote, None).is_some()) {
                    return Err(AttemptEnd::Alone);
                }
            }
        }
        let mut news = News { filed: done.len(), written, jobs: Vec::new() };
        let answers = done.into_values().map(|(_, arrival, arrived)| {
            news.written.add(arrived.written);
            Answer::over(&arrival.key, verdict_of(arrived.result)).late(arrived.late)
        });
        let answers = answers.collect();
        Ok((tx, news, answers))
    }

    /// The mutations of each space, by its name.
    fn groups<'a>(&'a self, sent: SentTogether<'a>) -> Result<BTreeMap<String, Group<'a>>, AttemptEnd> {
        let mut groups = BTreeMap::new();
        for (at, mutation) in sent.mutations.iter().enumerate() {
            let entry = self.schema.mutator(&mutation.name).ok_or(AttemptEnd::Alone)?;
            let within = ReplaySpace::of(entry, mutation)?;
            let (hlc, _) = self.stamp(mutation);
            let key = key_of(sent.principal, mutation, sent.acknowledged);
            let empty = |within| Group { within, arrivals: Vec::new(), at: Vec::new() };
            let group = groups.entry(within.name.clone()).or_insert_with(|| empty(within));
            group.arrivals.push(Arrival { entry, mutation, key, hlc });
            group.at.push(at);
        }
        Ok(groups)
    }

    /// Stores their results; what was written that was not looked at before.
    async fn record_together(
        &self,
        tx: &DatabaseTransaction,
        SentTogether { principal, .. }: SentTogether<'_>,
        (before, seal): (i64, &WriteSetSeal),
        done: &mut BTreeMap<usize, (&ReplaySpace, &Arrival<'_>, Arrived)>,
        (again, is_taken): (Written, bool),
    ) -> Result<Written, AttemptEnd> {
        // What ran again is told with the first, as where one comes alone.
        let mut first = again;
        if let Some((_, _, arrived)) = done.values_mut().next() {
            first.raw_write_set.push_str(&arrived.written.raw_write_set);
        }
        let records: Vec<Record> = done.values().map(|(_, _, arrived)| recorded(&arrived.result)).collect();
        let taken = std::iter::once(&first).chain(done.values().skip(1).map(|(_, _, arrived)| &arrived.written));
        let ended = done.values().zip(records).zip(taken).map(|(((_, arrival, _), record), written)| Ended {
            key: arrival.key,
            record,
            taken: is_taken.then_some(written),
        });
        let ended: Vec<Ended<'_>> = ended.collect();
        let sequence = ended.last().and_then(|last| last.key.sequence);
        let results = RecordResults { principal, sequence, before, ended: &ended, seal };
        let (rest, header) = self.store.on(tx).record_results(&results).await?;
        self.same_rules(&header.rules)?;
        drop(ended);
        if rest.leaves_tables {
            self.store.mark_connection_broken(tx).await;
        }
        if (is_taken && !rest.write_set.is_empty()) || self.oversized(&rest).is_some() {
            return Err(AttemptEnd::Alone);
        }
        first.add(rest);
        Ok(first)
    }
}

/// Whether a mutation is to be taken alone: in wire 1 a refusal ends the request, and one that controls its transaction may have left
/// anything behind.
fn is_alone(wire: Wire, arrived: &Arrived) -> bool {
    match &arrived.result {
        Ok(_) => false,
        Err(PushError::TransactionControl(_)) => true,
        Err(_) => wire == Wire::One,
    }
}
