//! A device: the shipped session, store and exchange, with the simulator in the driver's place.

use crate::act::SimIds;
use crate::fixture::Fixture;
use crate::net::{Lane, Port, Truth};
use crate::oracle::Rows;
use crate::world::uuid;
use nizhal_client::exchange::Caller;
use nizhal_client::session::{Failure, Session, Settings, Status};
use nizhal_client::store::{Location, OtherUser, SqliteStore};
use nizhal_client::transport::Response;
use nizhal_client::{ReceivedAnswer, exchange, upload_next};
use nizhal_core::{Random, Uuid};
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A request under way.
type Work = Pin<Box<dyn Future<Output = Result<ReceivedAnswer, Failure>>>>;

/// An upload under way.
type UploadWork = Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

/// The upload of one blob, beside an exchange.
#[derive(Default)]
pub(crate) struct Uploading {
    port: Arc<Port>,
    work: Option<UploadWork>,
    /// Where the answer to what is under way goes.
    pub(crate) waiting: Option<oneshot::Sender<Result<Response, Failure>>>,
    pub(crate) ticket: u64,
}

/// What came of polling an upload.
pub(crate) enum PolledUpload {
    /// It sent something.
    Sent(nizhal_client::transport::Request),
    Done(Option<Failure>),
}

/// One device and its user.
pub(crate) struct Device {
    pub(crate) user: usize,
    path: PathBuf,
    pub(crate) version: usize,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) session: Session,
    ids: Arc<Mutex<Random>>,
    port: Arc<Port>,
    pub(crate) uploading: Uploading,
    pub(crate) work: Option<Work>,
    /// Where the answer to what is under way goes.
    pub(crate) waiting: Option<oneshot::Sender<Result<Response, Failure>>>,
    pub(crate) ticket: u64,
    /// Whether what is under way is a pull.
    pub(crate) pulls: bool,
    pub(crate) answer: Option<ReceivedAnswer>,
    /// What the user might see when the answer that is held was made.
    pub(crate) truth: Option<Rc<Truth>>,
    pub(crate) timer: Option<i64>,
    pub(crate) status: Status,
    pub(crate) online: bool,
    pub(crate) stream: bool,
    /// Whether nothing comes on its stream any more, and nobody says so.
    pub(crate) silent: bool,
    /// How many errors of its database were told of.
    faults: u64,
    pub(crate) signed_out: bool,
    tokens: u32,
    /// By how much its clock is wrong.
    pub(crate) clock_ms: i64,
    /// The last mutation that it took in.
    pub(crate) last: Option<String>,
    pub(crate) starts: u32,
    /// Whether something happened to it since it was last looked at.
    pub(crate) stirred: bool,
}

/// What came of polling a request.
pub(crate) enum Polled {
    /// It sent something.
    Sent(nizhal_client::transport::Request),
    Done(Result<ReceivedAnswer, Failure>),
}

impl Device {
    pub(crate) async fn new(fixture: &Fixture<'_>, at: usize, user: usize) -> Result<Self, String> {
        let path = fixture.workdir.path(&format!("device-{at}.db"));
        let ids = Arc::new(Mutex::new(Random::of(&format!("device {at}"))));
        let template = fixture.workdir.shared(&format!("template-{at}.db"));
        if !template.exists() {
            open(fixture, &template, 0, user, &ids).await?.close().await;
        }
        std::fs::copy(&template, &path).map_err(|error| format!("{} is not copied: {error}", path.display()))?;
        // What it draws must not tell whether the template was there.
        let ids = Arc::new(Mutex::new(Random::of(&format!("device {at} at work"))));
        let store = open(fixture, &path, 0, user, &ids).await?;
        Ok(Self {
            user,
            path,
            version: 0,
            store,
            session: session(at, 0),
            ids,
            port: Arc::default(),
            uploading: Uploading::default(),
            work: None,
            waiting: None,
            ticket: 0,
            pulls: false,
            answer: None,
            truth: None,
            timer: None,
            status: Status::default(),
            online: true,
            stream: false,
            silent: false,
            faults: 0,
            signed_out: false,
            tokens: 0,
            clock_ms: 0,
            last: None,
            starts: 0,
            stirred: true,
        })
    }

    /// Its power goes and comes back: what was committed is there, nothing else.
    pub(crate) async fn restart(&mut self, fixture: &Fixture<'_>, at: usize) -> Result<(), String> {
        self.give_up();
        self.give_up_upload();
        self.store.close().await;
        self.starts += 1;
        self.store = open(fixture, &self.path, self.version, self.user, &self.ids).await?;
        self.session = session(at, self.starts);
        (self.timer, self.stream, self.truth, self.faults) = (None, false, None, 0);
        Ok(())
    }

    /// Whether its database failed as a step wanted since that was last asked.
    pub(crate) fn took_fault(&mut self) -> bool {
        let faults = self.store.faults();
        std::mem::replace(&mut self.faults, faults) != faults
    }

    /// Forgets the request under way.
    pub(crate) fn give_up(&mut self) {
        self.ticket += 1;
        (self.work, self.waiting, self.answer) = (None, None, None);
    }

    /// Forgets the upload under way; whether there was one.
    pub(crate) fn give_up_upload(&mut self) -> bool {
        self.uploading.ticket += 1;
        self.uploading.waiting = None;
        self.uploading.work.take().is_some()
    }

    /// Whether it waits for the answer to this ticket.
    pub(crate) fn waits_for(&self, lane: Lane, ticket: u64) -> bool {
        match lane {
            Lane::Exchange => self.ticket == ticket && self.waiting.is_some(),
            Lane::Upload => self.uploading.ticket == ticket && self.uploading.waiting.is_some(),
        }
    }

    pub(crate) fn upload(&mut self) {
        let (store, port, caller) = (self.store.clone(), self.uploading.port.clone(), self.caller());
        let ids = SimIds(self.ids());
        self.uploading.ticket += 1;
        self.uploading.work = Some(Box::pin(async move { upload_next(&store, &*port, &caller, &ids, &|_| ()).await }));
    }

    /// Lets the upload go on until it waits for the network or is done.
    pub(crate) async fn poll_upload(&mut self) -> Option<PolledUpload> {
        let work = self.uploading.work.as_mut()?;
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.uploading.port.post.notified() => None,
        };
        if let Some(done) = done {
            self.uploading.work = None;
            return Some(PolledUpload::Done(done.err()));
        }
        let (request, waiting) = self.uploading.port.take_request()?;
        self.uploading.waiting = Some(waiting);
        Some(PolledUpload::Sent(request))
    }

    pub(crate) fn new_id(&self) -> Uuid {
        uuid(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn ids(&self) -> Arc<Mutex<Random>> {
        self.ids.clone()
    }

    pub(crate) fn token(&self) -> String {
        format!("{}.{}", self.path.file_stem().unwrap_or_default().to_string_lossy(), self.tokens)
    }

    pub(crate) fn renew_token(&mut self) {
        self.tokens += 1;
    }

    fn caller(&self) -> Caller {
        Caller { token: self.token(), contract_version: "1.0.0".to_owned() }
    }

    /// Begins a pull; what was asked for until now, in milliseconds since the Unix epoch, is asked for no more.
    pub(crate) fn pull(&mut self, streamed: bool, now_ms: i64) {
        let (store, port, caller) = (self.store.clone(), self.port.clone(), self.caller());
        self.ticket += 1;
        self.pulls = true;
        self.work = Some(Box::pin(async move {
            store.end_subscriptions(now_ms).await?;
            exchange::pull(&*store, &*port, &caller, streamed, &|_| ()).await.map(ReceivedAnswer::Pulled)
        }));
    }

    pub(crate) fn push(&mut self, most: usize) {
        let (store, port, caller) = (self.store.clone(), self.port.clone(), self.caller());
        self.ticket += 1;
        self.pulls = false;
        self.work =
            Some(Box::pin(
                async move { exchange::push(&*store, &*port, &caller, most).await.map(ReceivedAnswer::Pushed) },
            ));
    }

    /// Lets the request go on until it waits for the network or is done.
    pub(crate) async fn poll(&mut self) -> Option<Polled> {
        let work = self.work.as_mut()?;
        let done = tokio::select! {
            biased;
            done = work => Some(done),
            () = self.port.post.notified() => None,
        };
        if let Some(done) = done {
            self.work = None;
            return Some(Polled::Done(done));
        }
        let (request, waiting) = self.port.take_request()?;
        self.waiting = Some(waiting);
        Some(Polled::Sent(request))
    }

    /// What its database holds.
    pub(crate) async fn rows(&self, fixture: &Fixture<'_>, grown: bool) -> Result<Rows, String> {
        let sql = fixture.shown.of_device(grown);
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        let found = self.store.reads().query_all_raw(statement).await.map_err(|error| error.to_string())?;
        let mut texts = Vec::with_capacity(found.len());
        for row in found {
            let slot: i64 = row.try_get_by_index(0).map_err(|error| error.to_string())?;
            let text: String = row.try_get_by_index(1).map_err(|error| error.to_string())?;
            texts.push((slot, text));
        }
        Ok(fixture.shown.read(texts, grown))
    }

    /// One column of texts out of its database.
    pub(crate) async fn texts(&self, sql: &str) -> Result<Vec<String>, String> {
        let statement = Statement::from_string(DbBackend::Sqlite, sql);
        let found = self.store.reads().query_all_raw(statement).await;
        let found = found.map_err(|error| format!("`{sql}` fails on a device: {error}"))?;
        found.iter().map(|row| row.try_get_by_index(0).map_err(|error| error.to_string())).collect()
    }

    /// Ids of rows that it has, by table; and values of columns named `…_id`, by column.
    pub(crate) async fn pool(&self, fixture: &Fixture<'_>) -> Result<[BTreeMap<&'static str, Vec<String>>; 2], String> {
        let [mut ids, mut values] = [BTreeMap::new(), BTreeMap::<&'static str, Vec<String>>::new()];
        for table in &fixture.shown.tables {
            let key = table.desc.columns[table.desc.key[0]].name;
            ids.insert(table.desc.name, self.some(table.desc.name, key).await?);
            for column in table.desc.columns.iter().filter(|column| !column.private && column.name.ends_with("_id")) {
                let more = self.some(table.desc.name, column.name).await?;
                values.entry(column.name).or_default().extend(more);
            }
        }
        Ok([ids, values])
    }

    /// Some values of a column.
    async fn some(&self, table: &str, column: &str) -> Result<Vec<String>, String> {
        self.texts(&some_sql(table, column)).await
    }
}

/// Some values of a column, as SQL.
pub(crate) fn some_sql(table: &str, column: &str) -> String {
    let (table, column) = (nizhal_core::sql::quote(table), nizhal_core::sql::quote(column));
    let text = format!("case typeof({column}) when 'blob' then lower(hex({column})) else cast({column} as text) end");
    format!("select distinct {text} from {table} where {column} is not null order by 1 limit 12")
}

fn session(at: usize, starts: u32) -> Session {
    Session::new(Settings { server: true, batch: 4, ..Settings::default() }, &format!("session {at} {starts}"))
}

async fn open(
    fixture: &Fixture<'_>,
    path: &std::path::Path,
    version: usize,
    user: usize,
    ids: &Arc<Mutex<Random>>,
) -> Result<Arc<SqliteStore>, String> {
    let ids = ids.clone();
    let new_id = move || uuid(&mut ids.lock().unwrap_or_else(PoisonError::into_inner));
    let location = Location::File(path.to_owned());
    let schema = fixture.versions[version].device.clone();
    let opened = SqliteStore::open(&location, OtherUser::Refuse, schema, fixture.users[user].clone(), &new_id).await;
    let (store, notices) = opened.map_err(|error| format!("inv22: a device's store does not open: {error:?}"))?;
    if notices.iter().any(|notice| matches!(notice, nizhal_client::Notice::Rebuilt { .. })) {
        return Err(format!("inv22: a crash broke a device's store: {notices:?}"));
    }
    Ok(Arc::new(store))
}
