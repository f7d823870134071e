//! Mutations that are made at the same time share one commit: it is the disk that a write waits for.
//!
//! Decision: book/src/decisions/device.md#concurrent-writes-share-a-commit

use super::{ChangedTables, Draft, Effect, MutateError, SqliteStore, StoreError, Written};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::sync::oneshot;

/// The most that one commit carries, so that the first of them does not wait for all of a long import.
const MAX_MUTATIONS_PER_COMMIT: usize = 64;

type Answer = Result<Written, MutateError>;

/// Who waits to be written.
#[derive(Debug, Default)]
pub(super) struct Group {
    waiting: Mutex<VecDeque<(Draft, oneshot::Sender<Answer>)>>,
    turn: tokio::sync::Mutex<()>,
}

impl Group {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<(Draft, oneshot::Sender<Answer>)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SqliteStore {
    /// Writes a mutation, with those that came while others were being written. Whoever has the turn writes for all.
    pub(super) async fn write(&self, draft: Draft) -> Answer {
        let (told, mut answer) = oneshot::channel();
        self.group.waiting().push_back((draft, told));
        let _turn = self.group.turn.lock().await;
        loop {
            match answer.try_recv() {
                Ok(answer) => return answer,
                // Whoever wrote for us was given up half way.
                Err(oneshot::error::TryRecvError::Closed) => return Err(MutateError::Closed),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let (drafts, told): (Vec<_>, Vec<_>) = {
                let mut waiting = self.group.waiting();
                let most = waiting.len().min(MAX_MUTATIONS_PER_COMMIT);
                waiting.drain(..most).unzip()
            };
            for (told, answer) in told.into_iter().zip(self.write_group(drafts).await) {
                let _ = told.send(answer);
            }
        }
    }

    async fn write_group(&self, drafts: Vec<Draft>) -> Vec<Answer> {
        if drafts.len() > 1
            && let Ok(answers) = self.write_together(&drafts).await
        {
            return answers;
        }
        let mut answers = Vec::new();
        for draft in drafts {
            answers.push(self.write_alone(draft).await);
        }
        answers
    }

    async fn write_alone(&self, draft: Draft) -> Answer {
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
    async fn write_together(&self, drafts: &[Draft]) -> Result<Vec<Answer>, StoreError> {
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
