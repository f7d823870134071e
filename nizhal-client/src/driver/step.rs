//! One step in the store, and the failures that are no answer of a server's.

use super::{Answered, ReceivedAnswer};
use crate::environment::Ids;
use crate::exchange::Pulled;
use crate::session::{Action, Event, Failure, FailureKind};
use crate::store::{ChangedTables, SqliteStore, Store as _, StoreError};
use nizhal_core::Uuid;

/// Runs an action of the session on the store. Returns the event for the session, and the tables that changed.
///
/// # Errors
/// When the store fails.
pub async fn run_store_action(
    store: &SqliteStore,
    ids: &dyn Ids,
    action: Action,
    answer: Option<ReceivedAnswer>,
    answered: &Answered,
) -> Result<(Event, ChangedTables), StoreError> {
    let new_id: &(dyn Fn() -> Uuid + Send + Sync) = &|| ids.new_id();
    let none = |memory| (Event::Done(memory), ChangedTables::new());
    let done = match (action, answer) {
        (Action::StorePull, Some(ReceivedAnswer::Pulled(Pulled { start, answer }))) => {
            let (stored, changed_tables) = store.store_pull(&start, answer, new_id).await?;
            (Event::PullStored(stored), changed_tables)
        }
        (Action::StorePush, Some(ReceivedAnswer::Pushed(results))) => {
            let (stored, changed_tables) = store.store_push(&results).await?;
            answered(&results);
            (Event::PushStored(stored), changed_tables)
        }
        (Action::Park(failure), _) => {
            let (memory, changed_tables) = store.park(&failure.code, &failure.message, new_id).await?;
            (Event::Done(memory), changed_tables)
        }
        (Action::UploadAnew(failure), _) => match store.blobs_missing(&failure, new_id).await? {
            Some(changed_tables) => (Event::Done(store.memory().await?), changed_tables),
            // The device cannot help it, so it is as any other failure that comes again and again.
            None => {
                let failure = Failure { kind: FailureKind::ServerError, ..failure };
                (Event::PushFailed(failure), ChangedTables::new())
            }
        },
        (Action::Rotate, _) => none(store.rotate(new_id).await?),
        (Action::Repair, _) => none(store.repair(new_id).await?),
        (action, _) => return Err(StoreError::Malformed(format!("nothing is held for {action:?}"))),
    };
    store.sweep_blobs().await?;
    Ok(done)
}

/// The failure that stands for a panic in the client.
pub(super) fn panicked() -> Failure {
    Failure::new(FailureKind::Refused, "panicked", "a part of the client panicked; its log has the cause")
}
