//! The tasks beside the hub: one receives from each adapter, one publishes to the others, one keeps presence right.

use super::{
    adapter::{Adapter, AdapterError, Receiver},
    health::{Direction, Health},
    scope::Scopes,
};
use crate::{
    engine::Engine,
    environment::Environment,
    hub::{
        Hub, Presence,
        message::{self, Message, MessageBody, Reader},
        outbox::bodies,
    },
    store::Notification,
};
use nizhal_core::Uuid;
use rand::Rng;
use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

/// How long what happens at once is gathered, so that it travels together.
const BATCH_INTERVAL: Duration = Duration::from_millis(2);
/// How long a publication to the others may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// The same when the server stops.
const LAST_PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it may take to listen.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The first wait after a fault, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How often a connection that is silent is asked whether it lives.
const BARRIER_INTERVAL: Duration = Duration::from_secs(10);

/// All that the tasks share.
pub(super) struct ClusterConnection {
    pub(super) me: Uuid,
    pub(super) engine: Arc<Engine>,
    pub(super) hub: Hub,
    pub(super) presence: Presence,
    pub(super) scopes: Scopes,
    pub(super) environment: Arc<dyn Environment>,
    /// How long another server may be silent before its presence is forgotten.
    pub(super) server_silence: Duration,
    pub(super) reader: Mutex<Reader>,
}

/// An adapter and how it fares.
#[derive(Clone)]
pub(crate) struct AdapterHandle {
    pub(crate) adapter: Arc<dyn Adapter>,
    pub(crate) health: Arc<Health>,
    /// Whether it receives from the database.
    pub(crate) database: bool,
}

impl ClusterConnection {
    /// Listens until told to stop; a fault is waited out, and everybody is told to pull after it.
    pub(super) async fn listen(self: Arc<Self>, handle: AdapterHandle, mut stopping: watch::Receiver<bool>) {
        let mut backoff = BACKOFF.0;
        let mut is_first = true;
        let listening = async {
            loop {
                let opened =
                    timeout(OPEN_TIMEOUT, self.open(&handle, is_first)).await.unwrap_or(Err(AdapterError::Slow));
                let fault = match opened {
                    Ok(mut receiver) => {
                        handle.health.up(Direction::In, self.environment.now());
                        backoff = BACKOFF.0;
                        if !is_first {
                            self.recover(&handle);
                        }
                        is_first = false;
                        if handle.adapter.max_message_bytes().is_some() {
                            self.hub.outbox().hello();
                        }
                        self.receive(&handle, receiver.as_mut()).await
                    }
                    Err(fault) => fault,
                };
                if handle.database {
                    self.scopes.listen_barrier().listening(false);
                }
                let adapter = handle.adapter.name();
                if handle.health.down(Direction::In, &fault, self.environment.now()) {
                    let lost = if is_first { LOST } else { "others are not heard; trying again" };
                    tracing::warn!(adapter, error = &fault as &dyn std::error::Error, "{lost}");
                }
                sleep(jittered(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        };
        tokio::select! {
            () = listening => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
    }

    /// The receiver that last worked.
    async fn open(&self, handle: &AdapterHandle, is_first: bool) -> Result<Box<dyn Receiver>, AdapterError> {
        let mut receiver = handle.adapter.open().await?;
        if handle.database {
            let listen_barrier = self.scopes.listen_barrier();
            listen_barrier.listening(true);
            let receiving = async {
                loop {
                    if let Err(fault) = self.handle_notification(handle, receiver.next().await) {
                        return fault;
                    }
                }
            };
            tokio::select! {
                sent = listen_barrier.first() => sent?,
                fault = receiving => return Err(fault),
            }
            if !is_first {
                // It was away: it may have been put back as it once was, and is best told so before much is written to it.
                self.engine.store.record_incarnation().await?;
            }
        }
        Ok(receiver)
    }

    /// Receives until something may have been missed.
    async fn receive(&self, handle: &AdapterHandle, receiver: &mut dyn Receiver) -> AdapterError {
        let listen_barrier = self.scopes.listen_barrier();
        let mut prove = interval(BARRIER_INTERVAL);
        prove.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let receiving = async {
            loop {
                if let Err(fault) = self.handle_notification(handle, receiver.next().await) {
                    return fault;
                }
            }
        };
        let sending_barriers = async {
            loop {
                prove.tick().await;
                listen_barrier.ensure_fresh().await;
            }
        };
        tokio::select! {
            fault = receiving => fault,
            () = sending_barriers, if handle.database => AdapterError::Slow,
            () = listen_barrier.deaf(), if handle.database => AdapterError::Deaf,
        }
    }

    fn handle_notification(
        &self,
        handle: &AdapterHandle,
        notification: Result<Notification, AdapterError>,
    ) -> Result<(), AdapterError> {
        match notification? {
            Notification::Wrote(buckets) => self.hub.deliver(&buckets),
            Notification::Something => self.hub.ping_all(),
            Notification::ListenBarrier(number) => {
                self.scopes.listen_barrier().arrived(number);
                return Ok(());
            }
            Notification::Until(instant) => {
                self.scopes.listen_barrier().until(instant);
                return Ok(());
            }
            Notification::Message(text) => {
                let message = self.reader.lock().unwrap_or_else(PoisonError::into_inner).read(&text);
                match message {
                    // Our own comes back where the adapter knows no better.
                    Some(message) if message.from == self.me => return Ok(()),
                    Some(message) => self.message(message),
                    None => {}
                }
            }
        }
        handle.health.received.fetch_add(1, Relaxed);
        Ok(())
    }

    fn message(&self, Message { from, body, .. }: Message) {
        let outbox = self.hub.outbox();
        match body {
            MessageBody::Wrote(buckets) => {
                self.hub.deliver(&buckets.into_iter().map(message::bucket).collect::<Vec<_>>());
            }
            MessageBody::Something => self.hub.ping_all(),
            MessageBody::Bye => {
                self.reader.lock().unwrap_or_else(PoisonError::into_inner).forget(from);
                return self.presence.gone(from);
            }
            MessageBody::Want { of } if of == self.me => outbox.state(),
            MessageBody::Want { .. } => {}
            MessageBody::Hello => outbox.state(),
            body => {
                if self.presence.receive(from, body, Instant::now()) {
                    outbox.want(from);
                }
                return;
            }
        }
        self.presence.receive(from, MessageBody::Hello, Instant::now());
    }

    /// Something may have been missed: everybody here pulls and is judged anew; and the others too, when what we published may be lost.
    fn recover(&self, handle: &AdapterHandle) {
        tracing::info!(adapter = handle.adapter.name(), "others are heard again; everybody is told to pull");
        handle.health.healed.fetch_add(1, Relaxed);
        self.hub.ping_all();
        if handle.adapter.forgets() {
            self.hub.outbox().something();
        }
    }

    /// Publishes the outbox to the others until told to stop; then says goodbye.
    pub(super) async fn publish(
        self: Arc<Self>,
        handle: AdapterHandle,
        mut stopping: watch::Receiver<bool>,
        published: watch::Sender<bool>,
    ) {
        let outbox = self.hub.outbox();
        let (mut pieces, mut backoff) = (0, BACKOFF.0);
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => break,
                () = outbox.filled() => {}
            }
            sleep(BATCH_INTERVAL).await;
            if self.publish_once(&handle, &mut pieces).await {
                backoff = BACKOFF.0;
                continue;
            }
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => break,
                () = sleep(jittered(backoff)) => {}
            }
            backoff = (backoff * 2).min(BACKOFF.1);
        }
        // What was written last is published too, as far as that goes.
        let last = async {
            while !self.publish_once(&handle, &mut pieces).await {
                sleep(BACKOFF.0).await;
            }
            let bye = message::write(
                self.me,
                vec![MessageBody::Bye],
                handle.adapter.max_message_bytes().unwrap_or_default(),
                &mut pieces,
            );
            handle.adapter.publish(&bye).await
        };
        let _ = timeout(LAST_PUBLISH_TIMEOUT, last).await;
        published.send_replace(true);
    }

    async fn publish_once(&self, handle: &AdapterHandle, pieces: &mut u64) -> bool {
        let Some(max_message_bytes) = handle.adapter.max_message_bytes() else { return true };
        let (batch, present) = self.presence.take_outbox();
        let bodies = bodies(&batch, present, max_message_bytes);
        let texts = message::write(self.me, bodies, max_message_bytes, pieces);
        if texts.is_empty() {
            return true;
        }
        match timeout(PUBLISH_TIMEOUT, handle.adapter.publish(&texts)).await.unwrap_or(Err(AdapterError::Slow)) {
            Ok(()) => {
                handle.health.published.fetch_add(texts.len() as u64, Relaxed);
                handle.health.up(Direction::Out, self.environment.now());
                true
            }
            Err(fault) => {
                if handle.health.down(Direction::Out, &fault, self.environment.now()) {
                    let adapter = handle.adapter.name();
                    tracing::warn!(
                        adapter,
                        error = &fault as &dyn std::error::Error,
                        "others are not told; trying again"
                    );
                }
                self.hub.outbox().restore(batch);
                false
            }
        }
    }

    /// Shows that this server lives, and forgets others that do not, until told to stop.
    pub(super) async fn send_heartbeats(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut send_heartbeats = interval(self.server_silence / 4);
        send_heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => return,
                _ = send_heartbeats.tick() => {}
            }
            self.hub.outbox().send_heartbeats();
            if let Some(since) = Instant::now().checked_sub(self.server_silence) {
                for server in self.presence.sweep(since) {
                    self.reader.lock().unwrap_or_else(PoisonError::into_inner).forget(server);
                    tracing::warn!(%server, "another server is silent; its presence is forgotten");
                }
            }
        }
    }
}

/// What start-up says when the database cannot be listened to.
const LOST: &str = "others are not heard: what psql and other servers write pings nobody here, presence is this server's alone, and \
    each ping asks the database for its reader's scope. Pulls and pushes work. If DATABASE_URL leads to a pooler that lends \
    connections by the transaction, set NIZHAL_LISTEN_URL to the database itself; trying again";

/// Half of it or more, so that servers that lost the same thing do not all come back at once.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.0))
}
