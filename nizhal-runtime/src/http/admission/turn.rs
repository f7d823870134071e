//! Turns of an actor's requests: so many of its pushes, and of its pulls, run at a time, and the others wait behind them, not behind
//! other actors'.
//!
//! Whoever has the database's turn next is decided in the order they come (the pool's, and on SQLite the writer's). With so few of each
//! actor among them, that order goes round by actor, however many requests one of them has sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The turns of all actors; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::http) struct Turns {
    per_actor: usize,
    actors: Arc<Mutex<HashMap<Box<str>, Arc<Semaphore>>>>,
}

/// One of an actor's turns; dropping it lets the next of its requests run.
#[derive(Debug)]
pub(in crate::http) struct Turn {
    turns: Turns,
    actor: Box<str>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(super) fn new(per_actor: usize) -> Self {
        Self { per_actor, actors: Arc::default() }
    }

    /// Waits until fewer of the actor's requests run.
    pub(in crate::http) async fn turn(&self, actor: &str) -> Turn {
        let known = self.actors().get(actor).cloned();
        let own = known.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new(self.per_actor));
            self.actors().entry(actor.into()).or_insert(own).clone()
        });
        let mut turn = Turn { turns: self.clone(), actor: actor.into(), permit: None };
        // Nobody closes it.
        turn.permit = own.acquire_owned().await.ok();
        turn
    }

    fn actors(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Semaphore>>> {
        self.actors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut actors = self.turns.actors();
        // Whoever waits or runs holds it too.
        if actors.get(&self.actor).is_some_and(|own| Arc::strong_count(own) == 1) {
            actors.remove(&self.actor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn inv31_an_actors_requests_wait_for_each_other_and_for_nobody_else() {
        let turns = Turns::new(2);
        let now = |actor: &str| turns.turn(actor).now_or_never();
        let taken = [now("ana").unwrap(), now("ana").unwrap()];
        assert!(now("ana").is_none());
        drop(now("ben").unwrap());
        let mut waiting = Box::pin(turns.turn("ana"));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(taken);
        drop(waiting.now_or_never().unwrap());
        assert!(turns.actors().is_empty(), "who is gone takes no memory");
    }
}
