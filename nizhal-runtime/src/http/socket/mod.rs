//! One WebSocket: pings and presence out, presence and `ping` in, until it must close.

mod frame;
mod incoming;
mod keep_alive;
pub(super) mod limit;
mod outgoing;
mod wanted;

use incoming::FrameFault;
pub(super) use incoming::Incoming;
use limit::SocketPermit;
pub(super) use outgoing::Outgoing;
pub(crate) use wanted::Wanted;

use crate::{
    engine::ScopeError,
    http::Server,
    hub::{Batch, Listener, PresenceHandle},
};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, ProtocolError, Session};
use frame::Frame;
use keep_alive::{Due, KeepAlive};
use nizhal_core::{Bucket, Principal};
use rand::Rng;
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

/// The subprotocol that we speak, for clients that bring their token as another one.
pub(crate) const PROTOCOL: &str = "nizhal";
/// How long the close frame may wait; its reader may be the slow one.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two tries to read the actor's scope from a database that is away.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often the scope is read when nothing else asks: pings are hints, and one about a membership may be lost.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);
/// No timer is set further ahead; a token may live for years.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 60 * 60);

/// The end of a socket.
#[derive(Debug)]
enum SocketEnd {
    /// We close it, with this code.
    Close(CloseCode, Cow<'static, str>),
    /// The peer closed it, or is gone.
    Gone(Option<CloseReason>),
}

const SLOW: SocketEnd = close_with(CloseCode::Again, "too slow a reader");

const fn close_with(code: CloseCode, text: &'static str) -> SocketEnd {
    SocketEnd::Close(code, Cow::Borrowed(text))
}

/// One socket's state.
pub(crate) struct Socket {
    server: Server,
    principal: Principal,
    wanted: Wanted,
    /// The scope that the listener's buckets were taken from.
    scope: Arc<BTreeSet<Bucket>>,
    listener: Listener,
    presence_handle: PresenceHandle,
    _permit: SocketPermit,
    session: Session,
    outgoing: Outgoing,
    keep_alive: KeepAlive,
    recheck_at: Instant,
    /// Set while the database is away: what waits stays until then.
    retry_at: Option<Instant>,
}

impl Socket {
    pub(crate) fn new(
        server: Server,
        principal: Principal,
        wanted: Wanted,
        scope: Arc<BTreeSet<Bucket>>,
        listener: Listener,
        permit: SocketPermit,
        (session, outgoing): (Session, Outgoing),
    ) -> Self {
        let presence_handle = server.presence().presence_handle(listener.id(), principal.user_id(), principal.key());
        let now = Instant::now();
        let limits = &server.settings().sockets;
        let keep_alive = KeepAlive::new(limits.idle, now);
        Self {
            server,
            principal,
            wanted,
            scope,
            listener,
            presence_handle,
            _permit: permit,
            session,
            outgoing,
            keep_alive,
            recheck_at: now + RECHECK_INTERVAL,
            retry_at: None,
        }
    }

    /// Serves the socket to its end.
    pub(crate) async fn run(mut self, mut frames: AggregatedMessageStream) {
        let mut stopping = self.server.stopping();
        let end = match Box::pin(self.greet()).await {
            Ok(()) => self.serve(&mut frames, &mut stopping).await,
            Err(end) => end,
        };
        let reason = match end {
            SocketEnd::Close(code, text) => {
                tracing::debug!(code = u16::from(code), %text, "socket closed");
                self.server.sockets().closed(Some(code));
                Some(CloseReason::from((code, text)))
            }
            SocketEnd::Gone(reason) => {
                self.server.sockets().closed(None);
                reason
            }
        };
        // A reader too slow for the close frame loses it.
        let _ = timeout(CLOSE_TIMEOUT, Box::pin(self.session.close(reason))).await;
    }

    async fn serve(&mut self, frames: &mut AggregatedMessageStream, stopping: &mut watch::Receiver<bool>) -> SocketEnd {
        loop {
            let done = tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => {
                    Err(self.restart())
                }
                // Boxed, so that a socket that is idle does not hold the room of one that works.
                frame = frames.recv() => Box::pin(self.receive(frame)).await,
                () = sleep_until(self.next_deadline()) => Box::pin(self.tick()).await,
                () = self.listener.filled(), if self.retry_at.is_none() => Box::pin(self.deliver()).await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    /// Tells each socket of a stopping server another time to come back, so that not all come at once.
    fn restart(&self) -> SocketEnd {
        let sockets = self.server.hub().stats().sockets;
        let spread = sockets.clamp(1_000, 30_000);
        let text = format!("the server is stopping; reconnect in {} ms", rand::rng().random_range(0..spread));
        SocketEnd::Close(CloseCode::Restart, text.into())
    }

    /// Presence of each bucket, as it is when the socket opens.
    async fn greet(&mut self) -> Result<(), SocketEnd> {
        let names: BTreeSet<String> = self.listener.buckets().iter().map(|bucket| self.wanted.name(bucket)).collect();
        for name in names {
            self.send_state(&name).await?;
        }
        Ok(())
    }

    async fn receive(&mut self, frame: Option<Result<AggregatedMessage, ProtocolError>>) -> Result<(), SocketEnd> {
        const MALFORMED: SocketEnd = close_with(CloseCode::Unsupported, "malformed frame");
        let now = Instant::now();
        self.keep_alive.received();
        let text = match frame {
            None => return Err(SocketEnd::Gone(None)),
            Some(Ok(AggregatedMessage::Text(text))) => text,
            Some(Ok(AggregatedMessage::Ping(bytes))) => {
                let sending = timeout(self.send_time(), self.session.pong(&bytes)).await;
                return sending.map_err(|_| SLOW)?.map_err(|_| SocketEnd::Gone(None));
            }
            Some(Ok(AggregatedMessage::Pong(_))) => return Ok(()),
            Some(Ok(AggregatedMessage::Close(reason))) => return Err(SocketEnd::Gone(reason)),
            Some(Ok(AggregatedMessage::Binary(_))) => return Err(MALFORMED),
            Some(Err(error)) => {
                return Err(match FrameFault::of(&error) {
                    Some(fault @ FrameFault::Large) => SocketEnd::Close(CloseCode::Size, fault.to_string().into()),
                    Some(fault) => SocketEnd::Close(CloseCode::Policy, fault.to_string().into()),
                    None => MALFORMED,
                });
            }
        };
        match Frame::parse(&text).ok_or(MALFORMED)? {
            Frame::Ping => self.send("pong".to_owned()).await?,
            Frame::Track { bucket, payload } => {
                // Whoever lost the bucket must not appear there, even when nothing is heard of lost memberships.
                if self.retry_at.is_none() {
                    self.deliver().await?;
                }
                let reference = self.server.environment().new_id();
                for bucket in self.named(&bucket) {
                    if bucket.params.is_empty() {
                        // A public rule's bucket is every tenant's: as one that is not held, unless the app says otherwise.
                        if !self.server.settings().realtime.public_presence {
                            continue;
                        }
                        if frame::payload_bytes(&payload) > MAX_PUBLIC_PAYLOAD_BYTES {
                            return Err(close_with(CloseCode::Size, "more than a public bucket takes of one socket"));
                        }
                    }
                    if let Err(full) = self.presence_handle.track(&bucket, reference, &payload, now) {
                        return Err(SocketEnd::Close(CloseCode::Size, full.to_string().into()));
                    }
                }
            }
            Frame::Untrack { bucket } => {
                self.named(&bucket).iter().for_each(|bucket| self.presence_handle.untrack(bucket))
            }
            Frame::Heartbeat { bucket } => {
                self.named(&bucket).iter().for_each(|bucket| self.presence_handle.heartbeat(bucket, now));
            }
        }
        Ok(())
    }

    /// Does whatever is due by now.
    async fn tick(&mut self) -> Result<(), SocketEnd> {
        let now = Instant::now();
        if self.expired() {
            return Err(EXPIRED);
        }
        self.presence_handle.expire(now);
        match self.keep_alive.due(now) {
            Due::Nothing => {}
            Due::Gone => return Err(close_with(CloseCode::Away, "the peer is silent")),
            Due::Ping => {
                let pinging = timeout(self.send_time(), self.session.ping(b"")).await;
                pinging.map_err(|_| SLOW)?.map_err(|_| SocketEnd::Gone(None))?;
            }
        }
        let retry = self.retry_at.is_some_and(|at| now >= at);
        if retry || (now >= self.recheck_at && self.retry_at.is_none()) {
            self.deliver().await?;
        }
        Ok(())
    }

    /// Sends what waits, to an actor who is still who it was and still holds what it held.
    async fn deliver(&mut self) -> Result<(), SocketEnd> {
        if self.expired() {
            return Err(EXPIRED);
        }
        // Taken before the scope is read, so that no ping is younger than the membership it is judged by.
        let batch = self.listener.take_batch();
        if batch.overflow {
            return Err(SLOW);
        }
        let Some(scope) = self.listener.scope_cell() else { return Ok(()) };
        let scope = match self.server.scopes().read(scope, &self.principal).await {
            Ok(scope) => scope,
            Err(ScopeError::TooManyBuckets(_)) => return Err(close_with(CloseCode::Policy, "too many buckets")),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "a socket's scope could not be read");
                self.listener.restore(batch);
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                return Ok(());
            }
        };
        self.retry_at = None;
        self.recheck_at = Instant::now() + RECHECK_INTERVAL;
        if Arc::ptr_eq(&scope, &self.scope) {
            return self.send_batch(batch, BTreeSet::new()).await;
        }
        let buckets = self.wanted.buckets(&scope);
        self.scope = scope;
        let gained: BTreeSet<String> =
            buckets.difference(self.listener.buckets()).map(|bucket| self.wanted.name(bucket)).collect();
        // What is lost is told by the next pull, and a lost bucket's own name is said no more: the others ask for that pull.
        let mut batch = batch;
        if !buckets.is_superset(self.listener.buckets()) {
            batch.pings.extend(buckets.iter().cloned());
        }
        self.listener.listen_to(buckets);
        self.presence_handle.retain(|bucket| self.listener.buckets().contains(bucket));
        self.send_batch(batch, gained).await
    }

    async fn send_batch(&mut self, batch: Batch, gained: BTreeSet<String>) -> Result<(), SocketEnd> {
        let buckets = self.listener.buckets();
        let name = |bucket: &Bucket| self.wanted.name(bucket);
        let mut pings: BTreeSet<String> =
            batch.pings.iter().filter(|bucket| buckets.contains(bucket)).map(name).collect();
        pings.extend(gained.iter().cloned());
        let diffs: Vec<Value> = (batch.diffs.iter())
            .filter(|diff| buckets.contains(&diff.bucket))
            .map(|diff| json!({"bucket": name(&diff.bucket), "joins": diff.joins, "leaves": diff.leaves}))
            .collect();
        self.server.hub().sent(pings.len() as u64);
        for name in pings {
            self.send(format!("repull:{name}")).await?;
        }
        for name in gained {
            self.send_state(&name).await?;
        }
        for diff in diffs {
            self.send(format!("presence:diff:{diff}")).await?;
        }
        Ok(())
    }

    async fn send_state(&mut self, name: &str) -> Result<(), SocketEnd> {
        let state = self.server.presence().state(&self.named(name));
        self.send(format!("presence:state:{}", json!({"bucket": name, "state": state}))).await
    }

    async fn send(&mut self, text: String) -> Result<(), SocketEnd> {
        let time = self.send_time();
        let sending = async {
            self.outgoing.room_for(text.len()).await;
            self.session.text(text).await
        };
        timeout(time, sending).await.map_err(|_| SLOW)?.map_err(|_| SocketEnd::Gone(None))
    }

    /// Every bucket of this socket with this name; none when it holds none.
    fn named(&self, name: &str) -> Vec<Bucket> {
        self.listener.buckets().iter().filter(|bucket| self.wanted.name(bucket) == name).cloned().collect()
    }

    fn expired(&self) -> bool {
        self.principal.expires_at().is_some_and(|at| at <= self.server.now())
    }

    fn send_time(&self) -> Duration {
        self.server.settings().sockets.send_time
    }

    fn next_deadline(&self) -> Instant {
        let now = Instant::now();
        let expiry = self.principal.expires_at().map_or(NO_DEADLINE, |at| {
            // Rounded up: a timer that fires early would only be set again.
            let left = (at - self.server.now()).to_std().unwrap_or(Duration::ZERO);
            (left + Duration::from_millis(1)).min(NO_DEADLINE)
        });
        let silence = self.presence_handle.next_expiry().unwrap_or(now + NO_DEADLINE);
        let recheck = self.retry_at.unwrap_or(self.recheck_at);
        [now + expiry, self.keep_alive.next(), silence, recheck].into_iter().min().unwrap_or(now)
    }
}

/// The largest payload in a bucket that every tenant hears.
const MAX_PUBLIC_PAYLOAD_BYTES: usize = 1024;

const EXPIRED: SocketEnd = close_with(CloseCode::Policy, "the credential has expired");

#[cfg(test)]
mod tests;
