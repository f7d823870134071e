//! Which connections may still be used: those that were made after the tables last changed under them.
//!
//! Postgres refuses a prepared statement whose columns changed their types, each time and on each connection that prepared it
//! before. One refusal tells of all connections that are open then, so they are closed as they come to be used again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The moment before which no connection may have been made; shared with the pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Renewal(Arc<Mutex<Option<Instant>>>);

impl Renewal {
    /// Retires the connections of now.
    pub(super) fn retire_all(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether a connection of this age may be used.
    pub(super) fn allows(&self, age: Duration) -> bool {
        let retired_at = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        retired_at.is_none_or(|retired_at| age < retired_at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_before_are_given_up() {
        let renewal = Renewal::default();
        assert!(renewal.allows(Duration::from_secs(3600)));
        renewal.retire_all();
        assert!(!renewal.allows(Duration::from_secs(3600)));
        assert!(renewal.allows(Duration::ZERO));
    }
}
