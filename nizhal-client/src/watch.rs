//! Which tables changed, and queries that are run again when theirs did.

use crate::store::ChangedTables;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// How often each table changed.
#[derive(Clone, Debug)]
pub(crate) struct Changes {
    counts: Arc<Mutex<HashMap<String, u64>>>,
    tick: watch::Sender<u64>,
}

impl Changes {
    pub(crate) fn new(tables: &[&'static str]) -> Self {
        let counts = tables.iter().map(|&table| (table.to_owned(), 0)).collect();
        Self { counts: Arc::new(Mutex::new(counts)), tick: watch::Sender::new(0) }
    }

    /// Wakes the queries on these tables, which changed.
    pub(crate) fn notify(&self, changed_tables: &ChangedTables) {
        if changed_tables.is_empty() {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for table in changed_tables {
            *counts.entry(table.clone()).or_default() += 1;
        }
        drop(counts);
        self.tick.send_modify(|tick| *tick += 1);
    }

    /// Wakes all queries, because anything may have changed.
    pub(crate) fn notify_all(&self) {
        let all = self.counts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        self.notify(&all);
    }

    fn count(&self, tables: &[String]) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        tables.iter().filter_map(|table| counts.get(table)).sum()
    }

    /// Runs a query now and whenever one of these tables changed. Changes that come while it runs or while nobody looks are one.
    pub(crate) fn watch<T, F, Fut>(&self, tables: Vec<String>, query: F) -> BoxStream<'static, T>
    where
        T: Send + 'static,
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        struct State<F> {
            changes: Changes,
            ticks: watch::Receiver<u64>,
            seen: Option<u64>,
            tables: Vec<String>,
            query: F,
        }
        // Subscribed before the first look, so that nothing falls between.
        let state = State { changes: self.clone(), ticks: self.tick.subscribe(), seen: None, tables, query };
        stream::unfold(state, |mut state| async move {
            loop {
                let count = state.changes.count(&state.tables);
                if state.seen != Some(count) {
                    // Counted before it is read: what changes meanwhile is read again.
                    state.seen = Some(count);
                    let read = (state.query)().await;
                    return Some((read, state));
                }
                state.ticks.changed().await.ok()?;
            }
        })
        .boxed()
    }
}
