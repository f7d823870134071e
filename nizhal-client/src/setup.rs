//! How a device is put together.

use crate::client::{Client, Inner, Mode, Waiters};
use crate::driver::{Driver, Message, Parts};
use crate::environment::{Clock, Connectivity, Credentials, Ids, RandomIds, Switch, SystemClock};
use crate::schema::{Schema, SchemaError};
use crate::session::{Session, Settings, Status};
use crate::store::{Location, Lock, OtherUser, REVISED_TABLE, SqliteStore, StoreError};
use crate::subscription::Subscriptions;
use crate::transport::{HttpTransport, Transport, TransportError};
use crate::watch::Changes;
use nizhal_core::{Actor, MutatorEntry, Principal, Rule, Rules, TableDesc, wire::MutationResult};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, watch};

/// Why a device could not be put together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The app's parts do not fit.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no way to the server.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The lock beside the store cannot be made.
    #[error("the lock beside the store cannot be made")]
    Lock(#[source] std::io::Error),
}

/// A device in the making; it takes the same lists as the server.
///
/// ```ignore
/// let client = Client::setup(claims)
///     .tables(tables![Customer, LedgerEntry])
///     .mutators(mutators![record_payment])
///     .rules(ledger_rules())
///     .file("ledger.db")
///     .server("https://ledger.example", token)
///     .open()
///     .await?;
/// ```
pub struct Setup {
    principal: Principal,
    tables: Vec<&'static TableDesc>,
    mutators: Vec<MutatorEntry>,
    rules: Vec<Rule>,
    location: Location,
    other: OtherUser,
    mode: Mode,
    settings: Settings,
    contract_version: String,
    url: Option<String>,
    transport: Option<Arc<dyn Transport>>,
    credentials: Arc<dyn Credentials>,
    connectivity: Option<Arc<dyn Connectivity>>,
    online: bool,
    blob_cache_bytes: Option<u64>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    seeds: Vec<PathBuf>,
}

impl Setup {
    pub(crate) fn new(principal: Principal) -> Self {
        Self {
            principal,
            tables: Vec::new(),
            mutators: Vec::new(),
            rules: Vec::new(),
            location: Location::Memory,
            other: OtherUser::default(),
            mode: Mode::default(),
            settings: Settings { server: false, ..Settings::default() },
            contract_version: "0.0.0".to_owned(),
            url: None,
            transport: None,
            credentials: Arc::new(String::new()),
            connectivity: None,
            online: true,
            blob_cache_bytes: None,
            clock: Arc::new(SystemClock::default()),
            ids: Arc::new(RandomIds),
            seeds: Vec::new(),
        }
    }

    /// The app's tables: `tables![…]`.
    #[must_use]
    pub fn tables(mut self, tables: Vec<&'static TableDesc>) -> Self {
        self.tables = tables;
        self
    }

    /// The app's mutators: `mutators![…]`.
    #[must_use]
    pub fn mutators(mut self, mutators: Vec<MutatorEntry>) -> Self {
        self.mutators = mutators;
        self
    }

    /// The app's rules.
    #[must_use]
    pub fn rules<A: Actor>(mut self, rules: Rules<A>) -> Self {
        self.rules = rules.into_inner();
        self
    }

    /// Keeps the rows in this file; without one they are in memory.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.location = Location::File(path.as_ref().to_owned());
        self
    }

    /// A file that came with the app, as `GET /sync/image` gave it out: the rows of a bucket, so that the first sync brings only what
    /// changed since. The server checks that it may be gone on from; of no use, it is passed over.
    #[must_use]
    pub fn seed(mut self, path: impl AsRef<Path>) -> Self {
        self.seeds.push(path.as_ref().to_owned());
        self
    }

    /// What happens to another user's store in the same place.
    #[must_use]
    pub fn other_user(mut self, other: OtherUser) -> Self {
        self.other = other;
        self
    }

    /// Syncs with this server; without one the device is on its own, and what it writes waits.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>, credentials: impl Credentials) -> Self {
        self.url = Some(url.into());
        self.credentials = Arc::new(credentials);
        self.settings.server = true;
        self
    }

    /// The same by another way than HTTP.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport, credentials: impl Credentials) -> Self {
        self.transport = Some(Arc::new(transport));
        self.credentials = Arc::new(credentials);
        self.settings.server = true;
        self
    }

    /// When a write shows.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The version of the contract that the app was built for, so that a server can tell it to update.
    #[must_use]
    pub fn contract_version(mut self, version: impl Into<String>) -> Self {
        self.contract_version = version.into();
        self
    }

    /// Turns the knobs of the schedule.
    #[must_use]
    pub fn settings(mut self, turn: impl FnOnce(&mut Settings)) -> Self {
        let server = self.settings.server;
        turn(&mut self.settings);
        self.settings.server = server;
        self
    }

    /// Begins without traffic; [`Client::set_online`] lets it flow.
    #[must_use]
    pub fn offline(mut self) -> Self {
        self.online = false;
        self
    }

    /// Who knows whether there is a network.
    #[must_use]
    pub fn connectivity(mut self, connectivity: impl Connectivity) -> Self {
        self.connectivity = Some(Arc::new(connectivity));
        self
    }

    /// How many bytes of blobs are kept that the server has too; 200 MB by default. What is not uploaded is kept beyond that, and so is
    /// what is not yet in a row that was pulled.
    #[must_use]
    pub fn blob_cache_bytes(mut self, bytes: u64) -> Self {
        self.blob_cache_bytes = Some(bytes);
        self
    }

    /// Another clock.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Other ids.
    #[must_use]
    pub fn ids(mut self, ids: impl Ids) -> Self {
        self.ids = Arc::new(ids);
        self
    }

    /// Opens the store and begins to sync.
    ///
    /// # Errors
    /// When the parts do not fit or the store cannot be opened.
    pub async fn open(self) -> Result<Client, SetupError> {
        let schema = Arc::new(Schema::new(&self.tables, self.rules, self.mutators)?);
        let transport = match (self.transport, &self.url) {
            (Some(transport), _) => Some(transport),
            (None, Some(url)) => Some(Arc::new(HttpTransport::new(url)?) as Arc<dyn Transport>),
            (None, None) => None,
        };
        let ids = self.ids.clone();
        let new_id = move || ids.new_id();
        let opening = SqliteStore::open(&self.location, self.other, schema.clone(), self.principal, &new_id);
        let (store, notices) = Box::pin(opening).await?;
        if let Some(bytes) = self.blob_cache_bytes {
            store.set_blob_cache_bytes(bytes);
        }
        let store = Arc::new(store.with_seeds(self.seeds));
        let lock = Lock::of(store.path()).map_err(SetupError::Lock)?;
        let switch = Switch::new(self.online);
        let own = self.connectivity.is_none();
        let connectivity = self.connectivity.unwrap_or_else(|| Arc::new(switch.clone()));
        let (to, from) = mpsc::unbounded_channel::<Message>();
        let (status_sender, status) = watch::channel(Status::default());
        let tables: Vec<_> = schema.table_names().into_iter().chain([REVISED_TABLE]).collect();
        let changes = Changes::new(&tables);
        let waiters = Waiters::default();
        let heard = waiters.clone();
        let answered = move |results: &[MutationResult]| {
            let mut waiters = heard.lock().unwrap_or_else(PoisonError::into_inner);
            for result in results.iter().filter(|result| is_final(result)) {
                if let Some(waiter) = waiters.remove(&result.client_mutation_id) {
                    let _ = waiter.send(result.clone());
                }
            }
        };
        let subscriptions = Arc::new(Subscriptions::new(self.clock.clone()));
        let parts = Parts {
            store: store.clone(),
            subscriptions: subscriptions.clone(),
            lock,
            transport: transport.clone(),
            credentials: self.credentials.clone(),
            connectivity,
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            contract_version: self.contract_version.clone(),
            changes: changes.clone(),
            status: status_sender,
            answered: Arc::new(answered),
        };
        let session = Session::new(self.settings, &self.ids.new_id().to_string());
        let driver = Driver::new(session, parts, to.clone(), from);
        let task = tokio::spawn(driver.run());
        let inner = Inner {
            store,
            to,
            status,
            changes,
            subscriptions,
            transport,
            credentials: self.credentials,
            contract_version: self.contract_version,
            clock: self.clock,
            ids: self.ids,
            mode: self.mode,
            waiters,
            notices,
            switch: own.then_some(switch),
            task: Mutex::new(Some(task)),
        };
        Ok(Client { inner: Arc::new(inner) })
    }
}

/// Whether nothing will be said of the mutation after this.
fn is_final(result: &MutationResult) -> bool {
    use nizhal_core::wire::MutationStatus as Status;
    let again = matches!(result.code.as_deref(), Some("client_id_taken" | "number_used"));
    result.status != Status::OutOfOrder && !again
}
