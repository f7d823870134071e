//! Mutations that are made at the same time share one commit: it is the disk that a write waits for.
//!
//! Decision: book/src/decisions/device.md#concurrent-writes-share-a-commit

use super::{ChangedTables, Draft, Effect, MutateError, SqliteStore, StoreError, Written};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// The most that one commit carries, so that the first of them does not wait for all of a long import.
const MAX_MUTATIONS_PER_COMMIT: usize = 64;

type WriteResult = Result<Written, MutateError>;

/// The mutations that wait to be written, with the senders of their results.
#[derive(Debug, Default)]
pub(super) struct Group {
    queue: Mutex<VecDeque<(Draft, oneshot::Sender<WriteResult>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl Group {
    fn queue(&self) -> std::sync::MutexGuard<'_, VecDeque<(Draft, oneshot::Sender<WriteResult>)>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteStore {
    /// Writes a mutation, with those that came while others were being written. Whoever has the turn writes for all.
    pub(super) async fn write(&self, draft: Draft) -> WriteResult {
        let (sender, mut result) = oneshot::channel();
        self.group.queue().push_back((draft, sender));
        let _turn = self.group.turn.lock().await;
        loop {
            match result.try_recv() {
                Ok(result) => return result,
                // Whoever wrote for us was given up half way.
                Err(oneshot::error::TryRecvError::Closed) => return Err(MutateError::Closed),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let (drafts, senders): (Vec<_>, Vec<_>) = {
                let mut queue = self.group.queue();
                let most = queue.len().min(MAX_MUTATIONS_PER_COMMIT);
                queue.drain(..most).unzip()
            };
            for (sender, result) in senders.into_iter().zip(self.write_group(drafts).await) {
                let _ = sender.send(result);
            }
        }
    }

    async fn write_group(&self, drafts: Vec<Draft>) -> Vec<WriteResult> {
        if drafts.len() > 1
            && let Ok(results) = self.write_in_one_transaction(&drafts).await
        {
            return results;
        }
        let mut results = Vec::new();
        for draft in drafts {
            results.push(self.write_one(draft).await);
        }
        results
    }

    async fn write_one(&self, draft: Draft) -> WriteResult {
        let tx = self.begin().await?;
        let effect = match tx.write(draft).await {
            Ok(effect) => effect,
            Err(MutateError::Store(StoreError::EndedByMutator { name, .. })) => {
                return Err(MutateError::EndedTransaction(name));
            }
            Err(MutateError::Store(error)) => return Err(error.into()),
            Err(refused) => {
                tx.rollback().await;
                return Err(refused);
            }
        };
        let memory = tx.meta().await?.memory();
        Ok(Written { effect, memory, changed_tables: tx.commit().await? })
    }

    /// Each in a savepoint, so that one that is refused leaves no trace; all in one commit.
    ///
    /// # Errors
    /// When the store fails: nothing was written then, and whose fault it is shows when each is written alone.
    async fn write_in_one_transaction(&self, drafts: &[Draft]) -> Result<Vec<WriteResult>, StoreError> {
        let tx = self.begin().await?;
        let mut outcomes = Vec::new();
        for draft in drafts {
            let part = tx.part().await?;
            outcomes.push(match part.write(draft.clone()).await {
                Ok(effect) => part.keep().await.map(|()| Ok(effect))?,
                Err(MutateError::Store(error)) => return Err(error),
                Err(refused) => part.revoke().await.map(|()| Err(refused))?,
            });
        }
        let memory = tx.meta().await?.memory();
        let changed_tables: ChangedTables = tx.commit().await?;
        let written = |effect| Written { effect, memory, changed_tables: changed_tables.clone() };
        Ok(outcomes.into_iter().map(|outcome: Result<Effect, MutateError>| outcome.map(written)).collect())
    }
}
