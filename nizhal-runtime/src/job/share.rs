//! The share of a process's workers that one actor may have.
//!
//! A job that runs cannot be interrupted, so one worker is always left to other actors: else whoever has enough long jobs would have
//! everybody wait for them.

use crate::store::BusyActors;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The workers of a process, by whose jobs they run.
#[derive(Debug)]
pub(crate) struct Workers {
    /// How many may run jobs of one actor.
    max_of_one: usize,
    running: Mutex<BTreeMap<String, usize>>,
    /// Held while a job is leased, so that what is counted is still so when it is.
    pub(super) leasing: tokio::sync::Mutex<()>,
}

/// A worker that runs a job of an actor, until it is dropped.
#[derive(Debug)]
pub(super) struct BusyWorker {
    workers: Arc<Workers>,
    actor: String,
}

impl Workers {
    /// So many; where there is one alone, it is everybody's.
    pub(crate) fn new(count: u32) -> Arc<Self> {
        let max_of_one = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(1).max(1);
        Arc::new(Self { max_of_one, running: Mutex::default(), leasing: tokio::sync::Mutex::default() })
    }

    /// The actors whose jobs are run.
    pub(super) fn busy(&self) -> BusyActors {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (full, served): (Vec<_>, Vec<_>) = running.iter().partition(|(_, count)| **count >= self.max_of_one);
        let names = |of: Vec<(&String, &usize)>| of.into_iter().map(|(actor, _)| actor.clone()).collect();
        BusyActors { full: names(full), served: names(served) }
    }

    /// Assigns a worker to an actor's job.
    pub(super) fn assign(self: &Arc<Self>, actor: &str) -> BusyWorker {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner).entry(actor.to_owned()).or_default() += 1;
        BusyWorker { workers: self.clone(), actor: actor.to_owned() }
    }
}

impl Drop for BusyWorker {
    fn drop(&mut self) {
        let mut running = self.workers.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(&self.actor) {
            *count -= 1;
            if *count == 0 {
                running.remove(&self.actor);
            }
        }
    }
}
