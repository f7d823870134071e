//! What a mutation's actor may write, draw and see, by the memberships that it had before.
//!
//! A mutator that is not `privileged` for a membership table changes no membership, so those of the end are those of before. One that
//! is has them read first. What it gains on the way counts only in a bucket that had no member before: a shop that it founds. Which
//! those are can be told before it runs alone, so a mutation that needs to know is rolled back and run once more, and asks first.
//!
//! Decision: book/src/decisions/write-scope.md#a-mutation-is-judged-by-what-its-actor-held-before-it

use crate::{
    schema::Schema,
    scope::{Carried, Choices, readings},
    store::{Membership, Store, StoreError, next_number},
};
use nizhal_core::{
    __private::BoxFuture, ActorScope, Bucket, Error, MutatorEntry, ParamSource, Principal, Result, Rule,
};
use sea_orm::{Condition, DatabaseTransaction};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// The memberships that an actor had before a mutation that may change them.
#[derive(Clone, Debug)]
pub(super) struct EarlierMemberships {
    members: Vec<Membership>,
    /// Those that it may gain.
    unfounded: BTreeSet<Membership>,
    /// Whether it was asked which these are.
    is_asked: bool,
}

/// The relation of an actor to buckets.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holding {
    /// The actor's.
    Own,
    /// Another's, or nobody's.
    Foreign,
    /// The actor's now, by memberships that it gained; whether it founded them must be asked before.
    Gained(BTreeSet<Membership>),
}

impl EarlierMemberships {
    /// What was read before the mutator ran.
    pub(super) fn new(members: Vec<Membership>, unfounded: BTreeSet<Membership>, is_asked: bool) -> Self {
        Self { members, unfounded, is_asked }
    }

    /// Those of the memberships that it has now which count: the ones of before, and the founded ones.
    pub(super) fn count(&self, now: &[Membership]) -> Vec<Membership> {
        let founded = now.iter().filter(|membership| self.unfounded.contains(*membership));
        self.members.iter().chain(founded).cloned().collect()
    }

    /// Those that it gained and that nobody asked about; none where it was asked already.
    pub(super) fn unasked(&self, now: &[Membership]) -> BTreeSet<Membership> {
        let gained = now.iter().filter(|membership| !self.is_asked && !self.members.contains(membership));
        gained.cloned().collect()
    }
}

/// The buckets that an actor holds: by its memberships now, and by those of before where it may have changed them.
pub(super) struct Holdings<'a> {
    own: Choices<'a>,
    /// What it would hold by what it gained, and that.
    gained: Option<(Choices<'a>, BTreeSet<Membership>)>,
}

impl<'a> Holdings<'a> {
    pub(super) fn new(
        schema: &'a Schema,
        principal: &Principal,
        earlier: Option<&EarlierMemberships>,
        now: &[Membership],
    ) -> Self {
        let choices = |members: &[Membership]| Choices::new(schema, principal, members);
        let Some(earlier) = earlier else { return Self { own: choices(now), gained: None } };
        let unasked = earlier.unasked(now);
        let gained = (!unasked.is_empty()).then(|| (choices(now), unasked));
        Self { own: choices(&earlier.count(now)), gained }
    }

    /// What these buckets are to it, all together.
    pub(super) fn all<'b>(&self, buckets: impl IntoIterator<Item = &'b Bucket>) -> Holding {
        let mut foreign = buckets.into_iter().filter(|bucket| !self.own.hold(bucket)).peekable();
        if foreign.peek().is_none() {
            return Holding::Own;
        }
        match &self.gained {
            Some((now, unasked)) if foreign.all(|bucket| now.hold(bucket)) => Holding::Gained(unasked.clone()),
            _ => Holding::Foreign,
        }
    }

    /// All of them, for a job to carry.
    pub(super) fn carried(&self) -> Carried {
        self.own.carried()
    }
}

/// The actor of one run of a mutator.
pub(super) struct RunningActor {
    schema: Arc<Schema>,
    store: Arc<Store>,
    principal: Principal,
    mutator: &'static str,
    privileged: &'static [&'static str],
    /// The bucket that it is replayed in.
    replayed_in: Option<Bucket>,
    earlier: Option<EarlierMemberships>,
    /// What it gained, where it wanted a number by that.
    gained: Mutex<BTreeSet<Membership>>,
    is_refused: AtomicBool,
}

impl RunningActor {
    pub(super) fn new(
        (schema, store): (&Arc<Schema>, &Arc<Store>),
        principal: &Principal,
        (entry, replayed_in): (&MutatorEntry, Option<&Bucket>),
        earlier: Option<&EarlierMemberships>,
    ) -> Self {
        Self {
            schema: schema.clone(),
            store: store.clone(),
            principal: principal.clone(),
            mutator: entry.desc.name,
            privileged: entry.desc.privileged,
            replayed_in: replayed_in.cloned(),
            earlier: earlier.cloned(),
            gained: Mutex::default(),
            is_refused: AtomicBool::new(false),
        }
    }

    /// Whether it wanted what is not the actor's, whatever the mutator made of that.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(SeqCst)
    }

    /// What must be asked about before it can be judged.
    pub(super) fn gained(&self) -> BTreeSet<Membership> {
        std::mem::take(&mut *self.gained.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The bucket that a name means: one that it names with its rule, or else the only one among those of this value that the actor may
    /// draw in. So what another founds under the same value is never drawn from.
    async fn bucket_named(&self, tx: &DatabaseTransaction, name: &str) -> std::result::Result<Meant, StoreError> {
        let readings = readings(self.schema.rules(), name);
        let (with_rule, bare): (Vec<_>, Vec<_>) =
            readings.into_iter().partition(|(_, bucket)| bucket.qualified() == name);
        let mut members = None;
        for readings in [with_rule, bare] {
            match self.meant(tx, &readings, &mut members).await? {
                Meant::Nothing => {}
                meant => return Ok(meant),
            }
        }
        Ok(Meant::Nothing)
    }

    /// Which of these the actor may draw in. The database is asked for its memberships once, and only where they can make a difference.
    async fn meant(
        &self,
        tx: &DatabaseTransaction,
        readings: &[(&Rule, Bucket)],
        members: &mut Option<Vec<Membership>>,
    ) -> std::result::Result<Meant, StoreError> {
        let may_name = |rule: &Rule| is_privileged(self.privileged, rule);
        let holds = |now: &[Membership], bucket: &Bucket| {
            Holdings::new(&self.schema, &self.principal, self.earlier.as_ref(), now).all([bucket])
        };
        // Where claims say it, or what was read before, the database need not be asked.
        let is_open = readings
            .iter()
            .any(|(rule, bucket)| !may_name(rule) && holds(&[], bucket) != Holding::Own && has_members(rule));
        if is_open && members.is_none() {
            *members = Some(self.store.on(tx).members(&self.principal).await?);
        }
        let now = members.as_deref().unwrap_or_default();
        let mut own = Vec::new();
        for (rule, bucket) in readings {
            match if may_name(rule) { Holding::Own } else { holds(now, bucket) } {
                Holding::Own => own.push(bucket),
                Holding::Foreign => {}
                Holding::Gained(gained) => {
                    *self.gained.lock().unwrap_or_else(PoisonError::into_inner) = gained;
                    return Ok(Meant::Unasked);
                }
            }
        }
        Ok(match own.as_slice() {
            [] => Meant::Nothing,
            [only] => Meant::Bucket((*only).clone()),
            several => Meant::Several(several.iter().map(|bucket| bucket.qualified()).collect()),
        })
    }
}

/// The meaning of a bucket's name for an actor.
enum Meant {
    Bucket(Bucket),
    /// None that is the actor's.
    Nothing,
    /// Maybe one that it gained itself: whether it founded that is to be asked before it runs.
    Unasked,
    /// One of each of these names.
    Several(Vec<String>),
}

/// Whether a table says whose the rule's buckets are.
fn has_members(rule: &Rule) -> bool {
    rule.params.iter().any(|param| matches!(param.source, ParamSource::Member { .. }))
}

/// Whether a mutator or a job that is privileged for these tables may name any bucket of the rule.
pub(in crate::engine) fn is_privileged(tables: &[&str], rule: &Rule) -> bool {
    rule.tables.iter().any(|synced| tables.contains(&synced.table.name))
}

impl ActorScope for RunningActor {
    fn next<'a>(&'a self, tx: &'a DatabaseTransaction, series: &'a str, bucket: &'a str) -> BoxFuture<'a, Result<i64>> {
        Box::pin(async move {
            if self.replayed_in.is_some() {
                return Err(Error::internal(format!(
                    "`{}` is replayed, and a number that somebody printed must not become another when it runs again: draw that of \
                     `{series}` in a mutator that is not replayed",
                    self.mutator
                )));
            }
            match self.bucket_named(tx, bucket).await {
                Ok(Meant::Bucket(meant)) => next_number(tx, series, &meant).await,
                Ok(Meant::Several(names)) => Err(Error::internal(format!(
                    "`{bucket}` names a bucket of each of these: {}. Draw the number of `{series}` by the one that is meant, \
                     with its rule's name",
                    names.join(", ")
                ))),
                Ok(Meant::Nothing | Meant::Unasked) => {
                    let mutator = self.mutator;
                    tracing::warn!(mutator, series, "a number is drawn in a bucket of the actor's alone");
                    self.is_refused.store(true, SeqCst);
                    Err(Error::Forbidden)
                }
                Err(StoreError::Unavailable(error) | StoreError::StalePlan(error) | StoreError::Statement(error)) => {
                    Err(Error::Db(error))
                }
                Err(error) => Err(Error::internal(error)),
            }
        })
    }

    fn visible(&self, table: &str) -> Condition {
        let own = self.replayed_in.as_ref().and_then(|bucket| self.store.visible_in(table, bucket));
        own.unwrap_or_else(|| self.store.visible(table, &self.principal))
    }
}
