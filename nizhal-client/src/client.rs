//! What an app holds: reads by sea-orm, writes by mutators, and the state of sync.

use crate::blob::Blobs;
use crate::driver::Message;
use crate::environment::{Clock, Credentials, Ids, Switch};
use crate::session::{Event, Status};
use crate::setup::Setup;
use crate::store::{
    DeadLetter, Draft, Effect, MutateError, Notice, REVISED_TABLE, Revised, SqliteStore, Store, StoreError, Unreadable,
};
use crate::subscription::Subscriptions;
use crate::transport::Transport;
use crate::watch::Changes;
use futures_util::stream::BoxStream;
use nizhal_core::{Actor, Mutator, Principal, sql::quote, wire::MutationResult, wire::MutationStatus};
use sea_orm::{DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryTrait as _, Select};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// When a write shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// At once, and until the server has said otherwise.
    #[default]
    LocalFirst,
    /// When the server has said yes; `mutate` waits for it.
    ServerAuthoritative,
}

/// A mutation that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its `clientMutationId`.
    pub id: String,
    /// Whether its effect shows already, …
    pub shown: bool,
    /// … and why it does not.
    pub effect: Effect,
}

pub(crate) type Waiters = Arc<Mutex<HashMap<String, oneshot::Sender<MutationResult>>>>;

pub(crate) struct Inner {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) to: mpsc::UnboundedSender<Message>,
    pub(crate) status: watch::Receiver<Status>,
    pub(crate) changes: Changes,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) contract_version: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) mode: Mode,
    pub(crate) waiters: Waiters,
    pub(crate) notices: Vec<Notice>,
    pub(crate) switch: Option<Switch>,
    pub(crate) task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// One user's device. Clones are the same device; sync stops when the last is dropped, or at [`close`](Self::close).
#[derive(Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("store", &self.inner.store).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.to.send(Message::Close);
    }
}

impl Inner {
    /// Tells sync that the outbox changed; the status says so when this returns.
    pub(crate) async fn wrote(&self) {
        let (seen, waiting) = oneshot::channel();
        let _ = self.to.send(Message::Wrote(seen));
        // Dropped without a word when sync has ended.
        let _ = waiting.await;
    }
}

impl Client {
    /// Begins to set up the device of the user with these claims.
    pub fn setup<A: Actor>(claims: A) -> Setup {
        Setup::new(Principal::new(claims, None))
    }

    /// The rows, to read with sea-orm: a whole snapshot of the server's with what waits laid over it. Writes go through
    /// [`mutate`](Self::mutate).
    pub fn db(&self) -> &DatabaseConnection {
        self.inner.store.reads()
    }

    /// The images and files that rows name.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(self.inner.clone())
    }

    /// Runs a mutator here and hands it to the server in due time.
    ///
    /// When this returns, the write is durable: no crash loses it. In [`Mode::ServerAuthoritative`] it returns when the server has
    /// answered.
    ///
    /// ```ignore
    /// client.mutate::<record_payment>(RecordPayment { amount, customer_id }).await?;
    /// ```
    ///
    /// # Errors
    /// When the mutator says no or its arguments do not fit: then nothing was written and nothing is queued.
    pub async fn mutate<M: Mutator>(&self, args: M::Args) -> Result<Receipt, MutateError> {
        self.write(M::DESC.name, json(&args)?, Vec::new(), None).await
    }

    /// The same for a mutation that makes no sense without others, by their ids: when one of them is refused, it is cancelled.
    ///
    /// # Errors
    /// As for [`mutate`](Self::mutate).
    pub async fn mutate_after<M: Mutator>(&self, args: M::Args, after: &[&str]) -> Result<Receipt, MutateError> {
        self.write(M::DESC.name, json(&args)?, after.iter().map(|&id| id.to_owned()).collect(), None).await
    }

    async fn write(
        &self,
        name: &str,
        args: String,
        depends_on: Vec<String>,
        replaces: Option<String>,
    ) -> Result<Receipt, MutateError> {
        let inner = self.inner.clone();
        let local = inner.mode == Mode::LocalFirst;
        let id = inner.ids.new_id().to_string();
        let draft =
            Draft { id: id.clone(), name: name.to_owned(), args, now: inner.clock.now(), local, depends_on, replaces };
        let waiting = (!local).then(|| self.wait(&id));
        // A task of its own: a caller that is dropped half way must not keep others from hearing of what was written.
        let writing = tokio::spawn(async move {
            let written = inner.store.mutate(draft).await?;
            inner.changes.notify(&written.changed_tables);
            inner.wrote().await;
            Ok::<_, MutateError>(written.effect)
        });
        let panicked = |_| MutateError::Failed(nizhal_core::Error::internal("the mutator panicked"));
        let written = writing.await.map_err(panicked).and_then(|written| written);
        if written.is_err() {
            self.waiters().remove(&id);
        }
        let effect = written?;
        let Some(waiting) = waiting else {
            return Ok(Receipt { id, shown: effect == Effect::Shown, effect });
        };
        let answer = waiting.await.map_err(|_| MutateError::Closed)?;
        match answer.status {
            MutationStatus::Applied | MutationStatus::Duplicate => {
                Ok(Receipt { id, shown: true, effect: Effect::Shown })
            }
            // Who waited has heard it: there is nothing to park for a person.
            _ => {
                self.inner.store.discard(&id).await?;
                Err(MutateError::Rejected(answer.error.unwrap_or_default()))
            }
        }
    }

    fn wait(&self, id: &str) -> oneshot::Receiver<MutationResult> {
        let (answer, waiting) = oneshot::channel();
        self.waiters().insert(id.to_owned(), answer);
        waiting
    }

    fn waiters(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<MutationResult>>> {
        self.inner.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A query's rows, now and whenever a table of the query changed.
    ///
    /// ```ignore
    /// let mut customers = client.watch(Customer::find().order_by_asc(CustomerColumn::Name));
    /// while let Some(rows) = customers.next().await { /* show them */ }
    /// ```
    pub fn watch<E>(&self, query: Select<E>) -> BoxStream<'static, Result<Vec<E::Model>, DbErr>>
    where
        E: EntityTrait,
        E::Model: Send + 'static,
    {
        let sql = query.build(DbBackend::Sqlite).sql;
        // A name that stands in the query for something else costs a look too many.
        let named = |table: &&'static str| sql.contains(&quote(table));
        let tables = self.inner.store.schema().table_names().into_iter().filter(named).map(str::to_owned).collect();
        let db = self.db().clone();
        self.inner.changes.watch(tables, move || {
            let (query, db) = (query.clone(), db.clone());
            async move { query.all(&db).await }
        })
    }

    /// Anything that reads these tables, now and whenever one of them changed.
    pub fn watch_with<T, F, Fut>(&self, tables: &[&str], mut read: F) -> BoxStream<'static, T>
    where
        T: Send + 'static,
        F: FnMut(DatabaseConnection) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send + 'static,
    {
        let db = self.db().clone();
        let tables = tables.iter().map(|&table| table.to_owned()).collect();
        self.inner.changes.watch(tables, move || read(db.clone()))
    }

    /// Where sync stands, now and from now on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.inner.status.clone()
    }

    /// Waits until the status is as wanted; `None` when the client was closed before.
    pub async fn until(&self, wanted: impl FnMut(&Status) -> bool) -> Option<Status> {
        let mut status = self.status();
        let found = status.wait_for(wanted).await.ok()?;
        Some(found.clone())
    }

    /// What there is to tell of how the store was opened: rebuilt, wiped, vanished, migrated.
    pub fn notices(&self) -> &[Notice] {
        &self.inner.notices
    }

    /// What the server refused, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.store.dead_letters().await
    }

    /// The rows of the server's that are left out here, since the app's types cannot read a cell of them: NULL in a column that is
    /// declared without `Option`, a number that does not fit. The rest of their table shows; they do too when they are mended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn unreadable(&self) -> Result<Vec<Unreadable>, StoreError> {
        self.inner.store.unreadable().await
    }

    /// Sends a refused mutation again as a new one, at the end of the queue; `None` when there is none of this id.
    ///
    /// # Errors
    /// As for [`mutate`](Self::mutate); it stays a dead letter then.
    pub async fn retry(&self, id: &str) -> Result<Option<Receipt>, MutateError> {
        let dead_letter = self.dead_letters().await?.into_iter().find(|dead_letter| dead_letter.id == id);
        let Some(dead_letter) = dead_letter else { return Ok(None) };
        Ok(Some(self.write(&dead_letter.name, dead_letter.args, Vec::new(), Some(dead_letter.id)).await?))
    }

    /// Sends a refused mutation again with other arguments.
    ///
    /// # Errors
    /// As for [`mutate`](Self::mutate); it stays a dead letter then.
    pub async fn edit<M: Mutator>(&self, id: &str, args: M::Args) -> Result<Receipt, MutateError> {
        self.write(M::DESC.name, json(&args)?, Vec::new(), Some(id.to_owned())).await
    }

    /// Forgets a refused mutation; false when there is none of this id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn discard(&self, id: &str) -> Result<bool, StoreError> {
        let gone = self.inner.store.discard(id).await?;
        self.inner.wrote().await;
        Ok(gone)
    }

    /// The mutations whose result changed after the server had answered them, oldest first: one that was made before them arrived later,
    /// and took its place in time. One that is refused now is a dead letter, and one that applies now is none any more. Each stays in
    /// this list, also when the app is opened anew, until it is [confirmed](Self::confirm_revised).
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn revised(&self) -> Result<Vec<Revised>, StoreError> {
        self.inner.store.revised().await
    }

    /// The same list now and whenever it may have changed.
    ///
    /// ```ignore
    /// let mut revised = client.watch_revised();
    /// while let Some(list) = revised.next().await {
    ///     for one in list? {
    ///         show(&one);
    ///         client.confirm_revised(&one).await?;
    ///     }
    /// }
    /// ```
    pub fn watch_revised(&self) -> BoxStream<'static, Result<Vec<Revised>, StoreError>> {
        let store = self.inner.store.clone();
        self.inner.changes.watch(vec![REVISED_TABLE.to_owned()], move || {
            let store = store.clone();
            async move { store.revised().await }
        })
    }

    /// Takes a mutation off the list of those whose result changed, since its user knows; false when it is not there, or has yet another
    /// result.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn confirm_revised(&self, revised: &Revised) -> Result<bool, StoreError> {
        self.inner.store.confirm_revised(revised).await
    }

    /// Other claims of the same user, or new credentials after [`Phase::SignedOut`](crate::session::Phase::SignedOut).
    ///
    /// # Errors
    /// [`StoreError::OtherUser`] when they are somebody else's: open that user's client.
    pub fn sign_in<A: Actor>(&self, claims: A) -> Result<(), StoreError> {
        self.inner.store.set_principal(Principal::new(claims, None))?;
        let _ = self.inner.to.send(Message::Event(Event::SignedIn));
        Ok(())
    }

    /// Lets traffic flow or stops it; does nothing when the app gave a [`Connectivity`](crate::environment::Connectivity) of its own.
    pub fn set_online(&self, online: bool) {
        if let Some(switch) = &self.inner.switch {
            switch.set(online);
        }
    }

    /// Asks for an exchange now, whatever the schedule says.
    pub fn sync_now(&self) {
        let _ = self.inner.to.send(Message::Event(Event::Nudge));
    }

    /// Stops sync and closes the store. What waits goes out when it is opened again.
    pub async fn close(self) {
        let _ = self.inner.to.send(Message::Close);
        let task = self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(task) = task {
            let _ = task.await;
        }
        self.waiters().clear();
        self.inner.store.close().await;
    }
}

fn json(args: &impl serde::Serialize) -> Result<String, MutateError> {
    serde_json::to_string(args).map_err(|error| MutateError::InvalidArgs(error.to_string()))
}
