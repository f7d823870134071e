//! Carries out what the session wants: the one task that owns it, and those that it sends out.

mod step;

use crate::blob::upload_next;
use crate::environment::{Clock, Connectivity, Credentials, Ids};
use crate::exchange::{self, Caller, Pulled, no_token};
use crate::session::{Action, Event, Failure, FailureKind, Memory, Session, Status, UploadEnded};
use crate::store::{Lock, SqliteStore, Store as _};
use crate::subscription::Subscriptions;
use crate::transport::{Abortable, Frame, Frames, Given, Transport, unless};
use crate::watch::Changes;
use futures_util::FutureExt as _;
use nizhal_core::wire::MutationResult;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use step::panicked;
pub use step::run_store_action;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};

/// The interval between two checks whether another process wrote to the store.
const POLL_INTERVAL_MS: i64 = 500;

/// The callback that receives the final results of mutations.
pub type Answered = dyn Fn(&[MutationResult]) + Send + Sync;

/// The parts that the driver works with.
pub(crate) struct Parts {
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) lock: Lock,
    pub(crate) transport: Option<Arc<dyn Transport>>,
    pub(crate) credentials: Arc<dyn Credentials>,
    pub(crate) connectivity: Arc<dyn Connectivity>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    pub(crate) contract_version: String,
    pub(crate) changes: Changes,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) answered: Arc<Answered>,
}

/// A message to the driver.
pub(crate) enum Message {
    /// From the client.
    Event(Event),
    /// Something was written; whoever wrote it waits until the status says so.
    Wrote(oneshot::Sender<()>),
    /// From a request.
    Answered { event: Event, answer: Option<ReceivedAnswer> },
    /// From the stream.
    Stream { ticket: u64, event: Event },
    /// Stop.
    Close,
}

/// An answer that was received and is not stored yet.
pub enum ReceivedAnswer {
    /// A pull's.
    Pulled(Pulled),
    /// A push's.
    Pushed(Vec<MutationResult>),
}

pub(crate) struct Driver {
    session: Session,
    parts: Parts,
    to: mpsc::UnboundedSender<Message>,
    from: mpsc::UnboundedReceiver<Message>,
    tasks: JoinSet<()>,
    /// Gives up the request that is under way.
    give_up: watch::Sender<bool>,
    /// Gives up the upload that is under way.
    give_up_upload: watch::Sender<bool>,
    answer: Option<ReceivedAnswer>,
    /// Which stream is current.
    stream_ticket: u64,
    stream: Option<(AbortHandle, mpsc::UnboundedSender<()>)>,
    timer: Option<i64>,
    version: Option<i64>,
    lost: bool,
}

impl Driver {
    pub(crate) fn new(
        session: Session,
        parts: Parts,
        to: mpsc::UnboundedSender<Message>,
        from: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        Self {
            session,
            parts,
            to,
            from,
            tasks: JoinSet::new(),
            give_up: watch::Sender::new(false),
            give_up_upload: watch::Sender::new(false),
            answer: None,
            stream_ticket: 0,
            stream: None,
            timer: None,
            version: None,
            lost: false,
        }
    }

    /// Runs until it is told to stop.
    pub(crate) async fn run(mut self) {
        let mut online = self.parts.connectivity.changes();
        self.handle(Event::Started(Memory::default())).await;
        let standing = *online.borrow_and_update();
        self.handle(if standing { Event::Online } else { Event::Offline }).await;
        let mut poll_at = self.parts.clock.steady_ms() + POLL_INTERVAL_MS;
        loop {
            let wake = self.timer.map_or(poll_at, |at| at.min(poll_at));
            tokio::select! {
                message = self.from.recv() => match message {
                    Some(Message::Close) | None => break,
                    Some(message) => self.receive(message).await,
                },
                Ok(()) = online.changed() => {
                    let standing = *online.borrow_and_update();
                    self.handle(if standing { Event::Online } else { Event::Offline }).await;
                }
                () = self.parts.clock.sleep_until(wake) => {
                    let now = self.parts.clock.steady_ms();
                    if now >= poll_at {
                        poll_at = now + POLL_INTERVAL_MS;
                        self.poll_store().await;
                    }
                    if self.timer.is_some_and(|at| now >= at) {
                        self.timer = None;
                        self.handle(Event::Timer).await;
                    }
                }
                Some(_) = self.tasks.join_next() => {}
            }
        }
        // What the store is doing is done to its end.
        self.give_up.send_replace(true);
        self.give_up_upload.send_replace(true);
        if let Some((stream, _)) = self.stream.take() {
            stream.abort();
        }
        while self.tasks.join_next().await.is_some() {}
        // Once it is closed, nobody has what a file that is gone held.
        if !self.parts.store.is_there() {
            self.save_lost().await;
        }
    }

    async fn receive(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.handle(event).await,
            Message::Wrote(seen) => {
                self.handle(Event::Wrote(Memory::default())).await;
                let _ = seen.send(());
            }
            Message::Answered { event, answer } => {
                self.answer = answer;
                self.handle(event).await;
            }
            Message::Stream { ticket, event } if ticket == self.stream_ticket => {
                if matches!(event, Event::StreamClosed { .. }) {
                    self.stream = None;
                }
                self.handle(event).await;
            }
            _ => {}
        }
    }

    async fn handle(&mut self, mut event: Event) {
        // Events of several tasks may come in another order than their commits; the store is asked for what is true now, and
        // whoever commits after this has an event that comes after this one.
        if let Some(outdated) = event.memory_mut()
            && let Ok(memory) = self.parts.store.memory().await
        {
            *outdated = memory;
        }
        let now = self.parts.clock.steady_ms();
        for action in self.session.handle(event, now) {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::PublishStatus(status) => {
                tracing::debug!(phase = ?status.phase, pending = status.pending, "sync");
                self.parts.status.send_replace(*status);
            }
            Action::SetTimer(at) => self.timer = at,
            Action::Lead => {
                let leads = self.parts.lock.try_acquire().unwrap_or_else(|error| {
                    tracing::error!(%error, "the store's lock cannot be taken: another process may sync it");
                    false
                });
                let _ = self.to.send(Message::Event(Event::Leads(leads)));
            }
            Action::Pull { streamed } => self.pull(streamed),
            Action::Push { most } => self.push(most),
            Action::RefreshToken => {
                let credentials = self.parts.credentials.clone();
                self.spawn_request(Event::TokenFailed(panicked()), move |given| async move {
                    let refreshing = async { credentials.refresh().await.map_err(|error| no_token(&error)) };
                    match unless(&given, refreshing).await {
                        Ok(()) => (Event::TokenRefreshed, None),
                        Err(failure) => (Event::TokenFailed(failure), None),
                    }
                });
            }
            Action::Abort => drop(self.give_up.send_replace(true)),
            Action::Upload => self.upload(),
            Action::AbortUpload => drop(self.give_up_upload.send_replace(true)),
            Action::OpenStream => self.open_stream(),
            Action::CloseStream => {
                self.stream_ticket += 1;
                if let Some((stream, _)) = self.stream.take() {
                    stream.abort();
                }
            }
            Action::Ping => {
                if let Some((_, pings)) = &self.stream {
                    let _ = pings.send(());
                }
            }
            Action::StorePull
            | Action::StorePush
            | Action::Park(_)
            | Action::UploadAnew(_)
            | Action::Rotate
            | Action::Repair => self.store(action),
        }
    }

    /// Spawns a task whose event always comes back; when the task panics, `on_panic` comes back.
    fn spawn_request<Fut>(&mut self, on_panic: Event, work: impl FnOnce(Given) -> Fut)
    where
        Fut: Future<Output = (Event, Option<ReceivedAnswer>)> + Send + 'static,
    {
        self.give_up = watch::Sender::new(false);
        let (to, work) = (self.to.clone(), work(self.give_up.subscribe()));
        self.tasks.spawn(async move {
            let (event, answer) = AssertUnwindSafe(work).catch_unwind().await.unwrap_or((on_panic, None));
            let _ = to.send(Message::Answered { event, answer });
        });
    }

    fn caller(&self) -> impl Future<Output = Result<Caller, Failure>> + Send + 'static {
        let (credentials, user) = (self.parts.credentials.clone(), self.parts.store.principal().key().to_owned());
        let contract_version = self.parts.contract_version.clone();
        async move { Caller::of(&*credentials, &user, contract_version).await }
    }

    fn pull(&mut self, streamed: bool) {
        let (store, caller, to) = (self.parts.store.clone(), self.caller(), self.to.clone());
        let subscriptions = self.parts.subscriptions.clone();
        let Some(inner) = self.parts.transport.clone() else { return };
        self.spawn_request(Event::PullFailed(panicked()), move |given| async move {
            let progress = move |received| drop(to.send(Message::Event(Event::PullProgress(received))));
            let transport = Abortable { inner, given: given.clone() };
            let caller = match subscriptions.before_pull(&store).await {
                Ok(()) => unless(&given, caller).await,
                Err(error) => Err(error.into()),
            };
            let pulled = match caller {
                Ok(caller) => exchange::pull(&*store, &transport, &caller, streamed, &progress).await,
                Err(failure) => Err(failure),
            };
            match pulled {
                Ok(pulled) => (Event::PullAnswered, Some(ReceivedAnswer::Pulled(pulled))),
                Err(failure) => (Event::PullFailed(failure), None),
            }
        });
    }

    fn push(&mut self, most: usize) {
        let (store, caller) = (self.parts.store.clone(), self.caller());
        let Some(inner) = self.parts.transport.clone() else { return };
        self.spawn_request(Event::PushFailed(panicked()), move |given| async move {
            let transport = Abortable { inner, given: given.clone() };
            let pushed = match unless(&given, caller).await {
                Ok(caller) => exchange::push(&*store, &transport, &caller, most).await,
                Err(failure) => Err(failure),
            };
            match pushed {
                Ok(results) => (Event::PushAnswered, Some(ReceivedAnswer::Pushed(results))),
                Err(failure) => (Event::PushFailed(failure), None),
            }
        });
    }

    /// Spawns the upload of one blob, beside the request that is under way.
    fn upload(&mut self) {
        let (store, ids, changes) = (self.parts.store.clone(), self.parts.ids.clone(), self.parts.changes.clone());
        let (caller, to) = (self.caller(), self.to.clone());
        let Some(inner) = self.parts.transport.clone() else { return };
        self.give_up_upload = watch::Sender::new(false);
        let given = self.give_up_upload.subscribe();
        self.tasks.spawn(async move {
            let transport = Abortable { inner, given: given.clone() };
            let work = async {
                let caller = unless(&given, caller).await?;
                upload_next(&store, &transport, &caller, &*ids, &|changed_tables| changes.notify(changed_tables)).await
            };
            let failure = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| Err(panicked())).err();
            let ended = UploadEnded { memory: Memory::default(), failure };
            let _ = to.send(Message::Event(Event::UploadEnded(ended)));
        });
    }

    /// Spawns an action on the store; it is not given up half way.
    fn store(&mut self, action: Action) {
        let (store, ids, changes) = (self.parts.store.clone(), self.parts.ids.clone(), self.parts.changes.clone());
        let (answer, answered, to) = (self.answer.take(), self.parts.answered.clone(), self.to.clone());
        let subscriptions = self.parts.subscriptions.clone();
        self.tasks.spawn(async move {
            let work =
                AssertUnwindSafe(run_store_action(&store, &*ids, action, answer, &*answered)).catch_unwind().await;
            let event = match work {
                Ok(Ok((event, changed_tables))) => {
                    changes.notify(&changed_tables);
                    if matches!(event, Event::PullStored(_)) {
                        subscriptions.pulled();
                    }
                    event
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the local store failed");
                    Event::StoreFailed(error.failure())
                }
                Err(_) => Event::StoreFailed(panicked()),
            };
            let _ = to.send(Message::Event(event));
        });
    }

    fn open_stream(&mut self) {
        self.stream_ticket += 1;
        let (to, ticket, caller) = (self.to.clone(), self.stream_ticket, self.caller());
        let Some(transport) = self.parts.transport.clone() else { return };
        let (pings, mut pinged) = mpsc::unbounded_channel();
        let task = self.tasks.spawn(async move {
            let send = |event| drop(to.send(Message::Stream { ticket, event }));
            let opened = match caller.await {
                Ok(caller) => AssertUnwindSafe(transport.open(&caller.token)).catch_unwind().await,
                Err(failure) => Ok(Err(failure)),
            };
            let mut frames: Box<dyn Frames> = match opened {
                Ok(Ok(frames)) => frames,
                Ok(Err(failure)) => {
                    let unauthorized = failure.kind == FailureKind::Unauthorized;
                    return send(Event::StreamClosed { unauthorized });
                }
                Err(_) => return send(Event::StreamClosed { unauthorized: false }),
            };
            send(Event::StreamOpened);
            loop {
                tokio::select! {
                    frame = frames.next() => match frame {
                        Frame::Text(text) => send(Event::Frame { repull: text.starts_with("repull:") }),
                        Frame::Closed(code) => {
                            // 1008: an expired credential.
                            return send(Event::StreamClosed { unauthorized: code == Some(1008) });
                        }
                    },
                    ping = pinged.recv() => match ping {
                        Some(()) => frames.send("ping").await,
                        None => return,
                    },
                }
            }
        });
        self.stream = Some((task, pings));
    }

    /// Notices what another process wrote, which is to be sent or shown, and a file that is gone.
    async fn poll_store(&mut self) {
        if let Err(error) = self.parts.subscriptions.renew(&self.parts.store).await {
            // It is tried again before a pull.
            tracing::debug!(error = &error as &dyn std::error::Error, "subscriptions are not renewed");
        }
        if self.parts.store.is_in_memory() {
            return;
        }
        if self.lost || !self.parts.store.is_there() {
            return self.save_lost().await;
        }
        let Ok(version) = self.parts.store.data_version().await else { return };
        if self.version.replace(version) != Some(version) {
            self.parts.changes.notify_all();
            self.parts.subscriptions.pulled();
            self.handle(Event::Wrote(Memory::default())).await;
        }
    }

    /// Writes the store's file again. A database's files may be removed one by one, so this is done again as long as none is there.
    async fn save_lost(&mut self) {
        let is_known = std::mem::replace(&mut self.lost, true);
        if is_known && self.parts.store.has_file() {
            return;
        }
        let saved = self.parts.store.save().await;
        if is_known {
            return;
        }
        let text = match saved {
            Ok(()) => "the store's file was taken away; what it held was written again: open the client anew",
            Err(_) => "the store's file was taken away; what was not synced goes when this client closes",
        };
        let failure = Failure::new(FailureKind::StoreLost, "store_vanished", text);
        self.handle(Event::StoreLost(failure)).await;
    }
}
