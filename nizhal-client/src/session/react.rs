//! What each event changes.

use super::direction::backoff_ms;
use super::{
    Action, Credentials, Event, Exchange, Failure, FailureKind, Millis, Parting, PullStored, PushStored, Session,
    Stream, UploadEnded,
};

/// How long a follower waits before it tries to lead.
const LEAD_MS: Millis = 1_000;

impl Session {
    pub(super) fn apply(&mut self, event: Event, now: Millis, actions: &mut Vec<Action>) {
        match event {
            Event::Started(memory) => {
                self.started = true;
                self.memory = memory;
                if self.settings.server {
                    actions.push(Action::Lead);
                }
            }
            Event::Leads(leads) => {
                (self.leads, self.follows) = (leads, !leads);
                self.lead_at = (!leads).then_some(now + LEAD_MS);
            }
            Event::Wrote(memory) => self.memory = memory,
            Event::Online => {
                self.online = true;
                self.again();
            }
            Event::Offline => {
                (self.online, self.away, self.reached) = (false, true, false);
                if self.is_waiting() {
                    actions.push(Action::Abort);
                }
                if self.uploading {
                    actions.push(Action::AbortUpload);
                }
                if self.stream != Stream::Closed {
                    self.stream = Stream::Closed;
                    actions.push(Action::CloseStream);
                }
            }
            Event::SignedIn | Event::Nudge => self.again(),
            Event::Timer => self.tick(now, actions),
            Event::PullAnswered => {
                self.exchange = Some(Exchange::StoringPull);
                actions.push(Action::StorePull);
            }
            Event::PullProgress(received) if self.exchange == Some(Exchange::Pulling) => {
                self.alive = now;
                self.progress.receive(self.stored_rows, received);
            }
            Event::PullProgress(_) => {}
            Event::PullFailed(failure) => {
                // What came in goes on counting as a sign that the line works; the rest is asked for in pages.
                self.lines = false;
                self.failed(failure, now, actions);
            }
            Event::PullStored(stored) => self.pulled(stored, now),
            Event::PushAnswered => {
                self.exchange = Some(Exchange::StoringPush);
                actions.push(Action::StorePush);
            }
            Event::PushFailed(failure) => self.push_failed(failure, now, actions),
            Event::PushStored(stored) => self.pushed(stored, now),
            Event::UploadEnded(ended) => self.upload_ended(ended, now),
            Event::Done(memory) => {
                self.exchange = None;
                self.memory = memory;
                self.most = self.settings.batch;
            }
            Event::StoreFailed(failure) => self.failed(failure, now, actions),
            Event::StoreLost(failure) => self.lost = Some(failure),
            Event::TokenRefreshed => {
                (self.exchange, self.credentials) = (None, Credentials::Renewed);
                self.try_now();
            }
            Event::TokenFailed(failure) => {
                self.exchange = None;
                // Whoever gives out tokens may be out of reach, as the server may be.
                match failure.kind {
                    FailureKind::Unauthorized => self.credentials = Credentials::Bad,
                    FailureKind::Aborted if !self.hung => {}
                    _ => self.both_failed(&failure, now),
                }
            }
            Event::StreamOpened => {
                self.stream = Stream::Open { heard_at: now, pinged: false };
                self.stream_failures = 0;
                // Pings that came while nobody listened are made up for.
                self.hear_news();
                (self.pull.at, self.push.at, self.uploads.at) = (None, None, None);
            }
            Event::StreamClosed { unauthorized } => self.stream_closed(unauthorized, now),
            Event::Frame { repull } => {
                if let Stream::Open { .. } = self.stream {
                    self.stream = Stream::Open { heard_at: now, pinged: false };
                }
                if repull {
                    self.hear_news();
                }
            }
        }
    }

    /// Whether something outside is waited for.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.exchange, Some(Exchange::Pulling | Exchange::Pushing | Exchange::Refreshing))
    }

    /// Something may be new on the server, also to a pull that is under way.
    fn hear_news(&mut self) {
        (self.wants_pull, self.news) = (true, true);
    }

    /// Somebody says that it is worth trying.
    fn again(&mut self) {
        self.hear_news();
        self.try_now();
        (self.upgrade, self.stream_failures) = (None, 0);
        if self.credentials == Credentials::Bad {
            self.credentials = Credentials::Good;
        }
    }

    /// No wait after a failure goes on.
    fn try_now(&mut self) {
        (self.pull.at, self.push.at, self.uploads.at, self.stream_at) = (None, None, None, None);
    }

    fn tick(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.lead_at.is_some_and(|at| now >= at) {
            self.lead_at = None;
            actions.push(Action::Lead);
        }
        if self.poll_at.is_some_and(|at| now >= at) {
            self.poll_at = None;
            self.wants_pull = true;
            // A server may have been told to take older apps again, or credentials may have been mended elsewhere.
            self.upgrade = None;
            if self.credentials == Credentials::Bad {
                self.credentials = Credentials::Good;
            }
        }
        if self.is_waiting() && !self.hung && now - self.alive >= self.settings.stall_ms {
            self.hung = true;
            actions.push(Action::Abort);
        }
        if let Stream::Open { heard_at, pinged } = self.stream
            && now - heard_at >= self.settings.heartbeat_ms
        {
            if pinged && now - heard_at >= 2 * self.settings.heartbeat_ms {
                // Nobody is there any more, though no one has said so.
                actions.push(Action::CloseStream);
                self.stream_closed(false, now);
            } else if !pinged {
                self.stream = Stream::Open { heard_at, pinged: true };
                actions.push(Action::Ping);
            }
        }
    }

    fn stream_closed(&mut self, unauthorized: bool, now: Millis) {
        if self.stream == Stream::Closed {
            return;
        }
        self.stream = Stream::Closed;
        self.stream_failures = self.stream_failures.saturating_add(1);
        self.stream_at = Some(now + backoff_ms(&self.settings, self.stream_failures, &mut self.random));
        if unauthorized {
            // The next request finds out whether the credentials can be renewed.
            self.wants_pull = true;
        }
    }

    fn pulled(&mut self, stored: PullStored, now: Millis) {
        self.exchange = None;
        self.memory = stored.memory;
        self.contact();
        self.pulled_since_fault = true;
        if !stored.moved && !stored.complete {
            let text = "the server says that more waits, but its cursor does not move";
            let failure = Failure::new(FailureKind::Refused, "cursor_stands_still", text);
            return self.pull.failed(failure, now, &self.settings, &mut self.random);
        }
        self.pull.moved();
        if stored.rotated {
            self.parting = Parting::None;
        }
        if stored.complete {
            (self.away, self.wants_pull, self.owes_pull, self.lines) = (false, self.news, false, true);
            self.last_synced_ms = Some(now);
            (self.progress.rows, self.progress.total, self.stored_rows) = (0, None, 0);
            if self.parting == Parting::Pull || self.is_forgotten(now) {
                self.parting = Parting::Rotate;
            }
        } else {
            if stored.partly {
                // The server's clock is known by now, so what is to be sent need not wait for the rest.
                (self.away, self.lines) = (false, true);
            }
            (self.wants_pull, self.stored_rows) = (true, self.progress.rows);
        }
    }

    /// Whether the server must have lost what it said it applied: a restored one does not say so to a cursor that is older than
    /// its copy. Sending it again is harmless where it only takes long to show.
    fn is_forgotten(&mut self, now: Millis) -> bool {
        let since = (self.memory.unseen > 0).then(|| self.unseen_since.unwrap_or(now));
        let forgotten = since.is_some_and(|since| now - since >= self.settings.stall_ms);
        self.unseen_since = since.filter(|_| !forgotten);
        forgotten
    }

    fn pushed(&mut self, stored: PushStored, now: Millis) {
        self.exchange = None;
        self.memory = stored.memory;
        self.contact();
        if stored.answered > 0 {
            self.push.moved();
            self.faults = 0;
            self.progress.sent += stored.answered as u64;
            self.most = self.settings.batch;
            // Our own writes come back as rows.
            (self.wants_pull, self.owes_pull) = (true, true);
        }
        if stored.parted {
            self.partings += 1;
            // Each identity of the device may part from the server's memory once; a fresh one cannot.
            if self.partings <= 2 {
                (self.parting, self.away, self.wants_pull) = (Parting::Pull, true, true);
                return;
            }
        } else if stored.answered > 0 {
            self.partings = 0;
            return;
        }
        self.partings = 0;
        let text = "the server does not follow this device's sequence";
        let failure = Failure::new(FailureKind::OutOfOrder, "out_of_order", text);
        self.push.failed(failure, now, &self.settings, &mut self.random);
    }

    fn upload_ended(&mut self, ended: UploadEnded, now: Millis) {
        (self.uploading, self.memory) = (false, ended.memory);
        let Some(failure) = ended.failure else { return self.uploads.moved() };
        match failure.kind {
            FailureKind::Aborted => {}
            FailureKind::StoreLost => self.lost = Some(failure),
            kind => {
                // The next request finds out whether the credentials can be renewed.
                self.wants_pull |= kind == FailureKind::Unauthorized;
                self.uploads.failed(failure, now, &self.settings, &mut self.random);
            }
        }
    }

    fn push_failed(&mut self, failure: Failure, now: Millis, actions: &mut Vec<Action>) {
        if failure.kind == FailureKind::BlobMissing {
            self.contact();
            self.push.moved();
            self.exchange = Some(Exchange::Mending);
            return actions.push(Action::UploadAnew(failure));
        }
        if failure.kind == FailureKind::ServerError {
            return self.server_failed(failure, now, actions);
        }
        let too_much = matches!(failure.kind, FailureKind::TooLarge | FailureKind::BadRequest);
        if !too_much {
            return self.failed(failure, now, actions);
        }
        self.contact();
        let sent = self.most.min(self.memory.sendable());
        if sent > 1 {
            // One of them is at fault: the rest must not wait for it.
            (self.exchange, self.most) = (None, sent.div_ceil(2));
        } else {
            self.park(failure, actions);
        }
    }

    /// Sets the first mutation aside, by which the queue moves: what is behind it has waited for nothing yet.
    fn park(&mut self, failure: Failure, actions: &mut Vec<Action>) {
        self.push.moved();
        self.exchange = Some(Exchange::Mending);
        actions.push(Action::Park(failure));
    }

    /// The server failed at a push. When it does so each time, and is well otherwise, the first mutation is at fault: nothing
    /// waits behind it for ever.
    fn server_failed(&mut self, failure: Failure, now: Millis, actions: &mut Vec<Action>) {
        let alone = self.most.min(self.memory.sendable()) <= 1;
        self.most = 1;
        if alone && std::mem::take(&mut self.pulled_since_fault) {
            self.faults += 1;
        }
        if self.faults < self.settings.fault_tries {
            return self.failed(failure, now, actions);
        }
        self.contact();
        let message = format!("the server failed at it {} times: {}", self.faults, failure.message);
        self.faults = 0;
        self.park(Failure { message, ..failure }, actions);
    }

    /// The exchange under way failed.
    fn failed(&mut self, failure: Failure, now: Millis, actions: &mut Vec<Action>) {
        let exchange = self.exchange.take();
        let pushing = matches!(exchange, Some(Exchange::Pushing | Exchange::StoringPush | Exchange::Mending));
        if failure.is_reached() {
            self.reached = true;
        }
        let hung = std::mem::take(&mut self.hung);
        match failure.kind {
            FailureKind::Aborted if hung => {
                let text = "the server showed no sign of life";
                self.away = true;
                self.both_failed(&Failure::new(FailureKind::Network, "hung", text), now);
            }
            FailureKind::Aborted => {}
            FailureKind::StoreLost => self.lost = Some(failure),
            FailureKind::Unauthorized if self.credentials == Credentials::Good && self.online => {
                self.exchange = Some(Exchange::Refreshing);
                actions.push(Action::RefreshToken);
            }
            FailureKind::Unauthorized => self.credentials = Credentials::Bad,
            FailureKind::UpgradeRequired => {
                self.away = true;
                self.upgrade = Some(failure);
            }
            FailureKind::Network => {
                (self.away, self.reached) = (true, false);
                self.both_failed(&failure, now);
            }
            _ => {
                self.away = true;
                let direction = if pushing { &mut self.push } else { &mut self.pull };
                direction.failed(failure, now, &self.settings, &mut self.random);
            }
        }
    }

    /// What stops one direction stops the other.
    fn both_failed(&mut self, failure: &Failure, now: Millis) {
        for direction in [&mut self.pull, &mut self.push] {
            direction.failed(failure.clone(), now, &self.settings, &mut self.random);
        }
    }

    /// The server answered as a server does.
    fn contact(&mut self) {
        self.reached = true;
        self.credentials = Credentials::Good;
        self.upgrade = None;
    }
}
