//! Mutations of one client that take their places in a space, all of them in one rewind.

use super::{
    again::{At, PlacedRun, claims_of_another_type, replayed},
    place::{Placement, horizon, meant, placements, restamp},
    space::ReplaySpace,
};
use crate::engine::push::{
    key::recorded,
    reply::PushError,
    run::Run,
    trial::{AttemptEnd, Trial},
};
use crate::{
    engine::Engine,
    store::{Action, MutationKey, Place, Record, Space, StoreError, WriteSetSeal, Written},
};
use chrono::TimeDelta;
use nizhal_core::{
    Hlc, MutatorEntry, Principal,
    wire::{Mutation, Wire},
};
use sea_orm::DatabaseTransaction;

/// A mutation that is to take its place.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) entry: &'a MutatorEntry,
    pub(super) mutation: &'a Mutation,
    pub(super) key: MutationKey<'a>,
    pub(super) hlc: Hlc,
}

/// One that took it.
pub(super) struct Arrived {
    pub(super) result: Result<Record, PushError>,
    /// What it wrote, where that was looked at by itself.
    pub(super) written: Written,
    pub(super) late: bool,
}

/// How mutations take their places.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    pub(super) principal: &'a Principal,
    pub(super) wire: Wire,
    pub(super) seal: &'a WriteSetSeal,
    pub(super) trial: &'a Trial,
    /// Whether each of their statements has a savepoint.
    pub(super) statements: bool,
    /// Whether what each wrote is looked at by itself.
    pub(super) takes_write_sets: bool,
    /// How long they may go on where all come in order; the rest comes later.
    pub(super) limit: Option<TimeDelta>,
    /// Which space of the transaction it is.
    pub(super) nth: usize,
}

/// What came of them.
pub(super) struct InPlace {
    pub(super) tx: DatabaseTransaction,
    /// From the first on.
    pub(super) arrived: Vec<Arrived>,
    /// What those wrote that ran again, and what was taken back, of whichever of them.
    pub(super) written: Written,
    /// Whether what each wrote was looked at by itself.
    pub(super) is_taken: bool,
}

impl Engine {
    /// Runs mutations of one client, or of none, in their places, and those behind them again. Files them, but not their results.
    pub(super) async fn arrive(
        &self,
        tx: DatabaseTransaction,
        how: How<'_>,
        within: &ReplaySpace,
        arrivals: &[Arrival<'_>],
    ) -> Result<InPlace, AttemptEnd> {
        let begun = self.environment.now();
        let horizon = horizon(begun);
        let client = arrivals.first().and_then(|first| first.mutation.client_id.as_deref());
        let made: Vec<_> = arrivals.iter().map(|one| (one.hlc, one.mutation.client_mutation_id.as_str())).collect();
        let Some(&(stamp, id)) = made.first() else { return Err(AttemptEnd::Alone) };
        let first = meant(stamp, id, &horizon);
        let space = self.store.on(&tx).lock_space(&within.name, client, &first).await?;
        let mut places = placements(&made, client.is_some(), &space, &horizon);
        let mut later = self.behind(&tx, how, (within, &space), &places).await?;
        if !later.is_empty() {
            let lowest = places.iter().map(|one| &one.position).min().unwrap_or(&first);
            if !self.take_back(&tx, within, lowest).await? {
                later.clear();
            }
        }
        let rewinds = !later.is_empty();
        let mut written = Written::default();
        if rewinds {
            // Of whichever mutations wrote it, and so not for this actor to answer for.
            written = self.store.on(&tx).take_write_set(how.seal).await?;
        } else {
            restamp(&mut places, space.head.as_ref(), client.is_some());
        }
        let run = Running { within, rewinds, begun, knows: (!rewinds).then_some(&first) };
        let mut arrived: Vec<Option<Arrived>> = arrivals.iter().map(|_| None).collect();
        let mut actions = Vec::with_capacity(arrivals.len());
        let mut order: Vec<usize> = (0..arrivals.len()).collect();
        order.sort_by(|one, other| places[*one].position.cmp(&places[*other].position));
        // Without a client, they need not run in the order in which they are answered.
        let limit = how.limit.filter(|_| !rewinds && client.is_some());
        let (mut tx, mut later, mut order) = (tx, later.iter().enumerate().peekable(), order.into_iter().peekable());
        loop {
            self.check_duration(how, &run)?;
            let next = order.peek().map(|&index| &places[index].position);
            let again = later.next_if(|(_, action)| next.is_none_or(|next| action.position < *next));
            if let Some((at, action)) = again {
                let (within, trial) = ((within, how.seal), (how.trial, how.statements));
                let at = how.nth * (self.replay_bounds.max_rewound as usize + 1) + at;
                let (back, wrote) = self.run_again(tx, within, (at, action), trial).await?;
                tx = back;
                add(&mut written, wrote);
                continue;
            }
            let Some(index) = order.next() else { break };
            if index > 0 && limit.is_some_and(|limit| self.environment.now() - begun > limit) {
                break;
            }
            let (arrival, place) = (&arrivals[index], &places[index]);
            if let Some(on) = self.cancelled_by(&tx, how, arrival, (arrivals, &arrived)).await? {
                let (result, written) = (Err(PushError::Cancelled(on)), Written::default());
                arrived[index] = Some(Arrived { result, written, late: false });
                continue;
            }
            let PlacedRun { tx: back, result, written } = self.arrive_one(tx, how, &run, (arrival, place)).await?;
            tx = back;
            let record = recorded(&result);
            actions.push(action_of(how.principal, arrival, place, &record)?);
            arrived[index] = Some(Arrived { result, written, late: place.late });
        }
        if rewinds {
            self.store.on(&tx).net(&within.name).await?;
            add(&mut written, self.store.on(&tx).take_write_set(how.seal).await?);
        }
        self.store.on(&tx).file_actions(&within.name, &actions).await?;
        let is_taken = rewinds || how.trial.savepoints || how.takes_write_sets;
        Ok(InPlace { tx, arrived: arrived.into_iter().map_while(|one| one).collect(), written, is_taken })
    }

    /// The mutations that are to run again; none where all are in order, and none where that is too dear: then what is late takes effect last.
    async fn behind(
        &self,
        tx: &DatabaseTransaction,
        how: How<'_>,
        (within, space): (&ReplaySpace, &Space),
        places: &[Placement],
    ) -> Result<Vec<Action>, StoreError> {
        let Some(lowest) = places.iter().map(|one| &one.position).min() else { return Ok(Vec::new()) };
        if space.head.as_ref().is_none_or(|head| lowest > head) || how.trial.restamps {
            return Ok(Vec::new());
        }
        let bounds = &self.replay_bounds;
        let mut later = self.store.on(tx).actions_behind(&within.name, lowest, bounds.max_rewound + 1).await?;
        let (actor, now_ms) = (how.principal.key(), self.environment.now().timestamp_millis());
        let count = u32::try_from(later.len()).unwrap_or(u32::MAX);
        if count > bounds.max_rewound || !self.reruns.spend(bounds, actor, count, now_ms) {
            let (space, mutation) = (&within.name, &lowest.id);
            tracing::warn!(
                space,
                mutation,
                actor,
                "too much would run again for a late mutation, which takes effect last"
            );
            later.clear();
        }
        Ok(later)
    }

    /// Fails where mutations run again for longer than they may.
    fn check_duration(&self, how: How<'_>, run: &Running<'_>) -> Result<(), AttemptEnd> {
        let most = TimeDelta::from_std(self.replay_bounds.max_duration).unwrap_or(TimeDelta::MAX);
        if !run.rewinds || self.environment.now() - run.begun <= most {
            return Ok(());
        }
        let (actor, space) = (how.principal.key(), &run.within.name);
        tracing::warn!(actor, space, "mutations run again for too long, and what is late takes effect last");
        self.reruns.took_too_long(&self.replay_bounds, actor);
        Err(AttemptEnd::TooLong)
    }

    async fn arrive_one(
        &self,
        tx: DatabaseTransaction,
        how: How<'_>,
        run: &Running<'_>,
        (arrival, place): (&Arrival<'_>, &Placement),
    ) -> Result<PlacedRun, AttemptEnd> {
        let &Running { within, rewinds, knows, .. } = run;
        let position = &place.position;
        let at = At {
            within,
            position,
            seal: how.seal,
            is_set: knows == Some(position),
            savepoint: rewinds || how.trial.savepoints,
            takes_write_set: how.takes_write_sets,
        };
        let mutation = replayed(arrival.mutation, position);
        let run = Run {
            principal: how.principal,
            entry: arrival.entry,
            mutation: &mutation,
            hlc: position.stamp,
            savepoints: how.statements,
            earlier: None,
            replayed_in: Some(&within.bucket),
        };
        self.run_in_place(tx, at, run).await
    }

    /// What a mutation depends on, when that was refused, among those that arrive with it or before.
    async fn cancelled_by(
        &self,
        tx: &DatabaseTransaction,
        how: How<'_>,
        arrival: &Arrival<'_>,
        (arrivals, arrived): (&[Arrival<'_>], &[Option<Arrived>]),
    ) -> Result<Option<String>, StoreError> {
        let on = &arrival.mutation.depends_on;
        if how.wire == Wire::One || on.is_empty() {
            return Ok(None);
        }
        let here =
            arrivals.iter().zip(arrived).filter(|(_, arrived)| arrived.as_ref().is_some_and(|one| one.result.is_err()));
        let here = here.map(|(arrival, _)| &arrival.mutation.client_mutation_id).filter(|id| on.contains(*id)).min();
        match here {
            Some(here) => Ok(Some(here.clone())),
            None => self.store.on(tx).refused(how.principal.key(), on).await,
        }
    }
}

/// The mutations of a space that run.
struct Running<'a> {
    within: &'a ReplaySpace,
    rewinds: bool,
    begun: nizhal_core::DateTimeUtc,
    /// The place that the database knows of already, if it is the first one's.
    knows: Option<&'a Place>,
}

fn action_of(
    principal: &Principal,
    arrival: &Arrival<'_>,
    place: &Placement,
    record: &Record,
) -> Result<Action, AttemptEnd> {
    let Arrival { entry, mutation, .. } = arrival;
    Ok(Action {
        actor: principal.key().to_owned(),
        claims: (entry.replay.claims)(principal).ok_or_else(claims_of_another_type)?,
        name: mutation.name.clone(),
        args: mutation.args.get().to_owned(),
        client_id: mutation.client_id.clone(),
        sent: mutation.hlc,
        status: record.status.to_owned(),
        position: place.position.clone(),
        late: place.late,
    })
}

/// Adds what was written later, with its lines.
pub(super) fn add(written: &mut Written, later: Written) {
    written.raw_write_set.push_str(&later.raw_write_set);
    written.add(later);
}
