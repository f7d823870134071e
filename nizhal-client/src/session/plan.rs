//! What is due: the next exchange, a repair, and when to look again.

use super::{Action, Credentials, Exchange, Failure, FailureKind, Millis, Parting, Repair, Session, Stream};

impl Session {
    fn may_exchange(&self) -> bool {
        let here = self.started && self.settings.server && self.leads && self.online;
        here && self.lost.is_none() && self.credentials != Credentials::Bad
    }

    /// Begins what is due.
    pub(super) fn advance(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let waited = self.is_waiting();
        self.begin(now, actions);
        if self.is_waiting() && !waited {
            self.alive = now;
        }
        self.hung &= self.is_waiting();
    }

    fn begin(&mut self, now: Millis, actions: &mut Vec<Action>) {
        if self.memory.waiting == 0 {
            self.progress.sent = 0;
        }
        let open = self.may_exchange() && self.settings.realtime && self.upgrade.is_none();
        if open && self.stream == Stream::Closed && self.stream_at.is_none_or(|at| now >= at) {
            (self.stream, self.stream_at) = (Stream::Opening, None);
            actions.push(Action::OpenStream);
        }
        let working = self.may_exchange() && self.upgrade.is_none();
        if working && !self.uploading && self.may_upload(now) {
            self.uploading = true;
            actions.push(Action::Upload);
        }
        self.push.watch(working && self.memory.sendable() > 0, now);
        self.pull.watch(working && self.wants_pull, now);
        if self.exchange.is_some() || !working {
            return;
        }
        if self.mend(now, actions) {
            return;
        }
        if self.parting == Parting::Rotate {
            self.parting = Parting::None;
            self.exchange = Some(Exchange::Mending);
            return actions.push(Action::Rotate);
        }
        let pull_first = self.parting == Parting::Pull || (self.away && self.memory.has_cursor);
        let push = self.memory.sendable() > 0 && self.push.is_ready(now);
        if push && !pull_first {
            self.exchange = Some(Exchange::Pushing);
            actions.push(Action::Push { most: self.most.min(self.memory.sendable()) });
        } else if (self.wants_pull || push) && self.pull.is_ready(now) {
            (self.wants_pull, self.news) = (true, false);
            self.exchange = Some(Exchange::Pulling);
            let is_first = !self.memory.has_cursor || !self.memory.complete;
            actions.push(Action::Pull { streamed: self.lines && is_first && !self.memory.staging });
        }
    }

    /// Whether an upload is due. One that has not failed yet does not wait for those that have, unless it would fail as well.
    fn may_upload(&self, now: Millis) -> bool {
        let others_fail = !self.uploads.is_ready(now);
        let is_fresh = self.memory.untried_uploads > 0 && !self.uploads.is_failed_by_server();
        self.memory.uploads > 0 && (!others_fail || is_fresh)
    }

    /// Whether a push waits for a pull to come first, and that for the server.
    fn push_waits_for_server(&self) -> bool {
        self.away && self.pull.is_failed_by_server()
    }

    /// The watchdog: what stands still is mended once, then told of. Whether it began something.
    fn mend(&mut self, now: Millis, actions: &mut Vec<Action>) -> bool {
        let waits = self.push_waits_for_server();
        for direction in [Some(&mut self.pull), Some(&mut self.push).filter(|_| !waits)].into_iter().flatten() {
            if direction.is_stalled(now, &self.settings) && !direction.repaired {
                let text = "nothing moves, and nobody says why";
                let unknown = || Failure::new(FailureKind::Refused, "no_progress", text);
                let cause = direction.error.clone().unwrap_or_else(unknown);
                (direction.repaired, direction.since, direction.at) = (true, Some(now), None);
                self.repairs += 1;
                self.last_repair = Some(Repair { cause, at_ms: now });
                self.exchange = Some(Exchange::Mending);
                (self.wants_pull, self.away) = (true, true);
                actions.push(Action::Repair);
                return true;
            }
        }
        false
    }

    /// Sets the one timer to what is due next.
    pub(super) fn arm(&mut self, now: Millis, actions: &mut Vec<Action>) {
        let (pinged, unpinged) = self.settings.poll_ms;
        if !self.started || !self.settings.server {
            return;
        }
        if self.online && self.leads {
            let every = if matches!(self.stream, Stream::Open { .. }) { pinged } else { unpinged };
            let at = self.poll_at.unwrap_or(now + every).min(now + every);
            self.poll_at = Some(at);
        } else {
            self.poll_at = None;
        }
        let mut next = [self.poll_at, self.lead_at].into_iter().flatten().min();
        let mut sooner = |at: Millis| next = Some(next.map_or(at, |next| next.min(at)));
        if self.is_waiting() && !self.hung {
            sooner((self.alive + self.settings.stall_ms).max(now + 1));
        }
        if self.may_exchange() && self.upgrade.is_none() {
            if let (false, Some(at)) = (self.uploading || self.memory.uploads == 0, self.uploads.at) {
                sooner(at.max(now + 1));
            }
            if self.exchange.is_none() {
                let sends = self.memory.sendable() > 0;
                let wanted = [(&self.pull, self.wants_pull || sends), (&self.push, sends)];
                for (direction, wanted) in wanted {
                    if let (true, Some(at)) = (wanted, direction.at.filter(|&at| at > now)) {
                        sooner(at);
                    }
                    let mends =
                        !direction.repaired && !direction.is_failed_by_server() && !self.push_waits_for_server();
                    if let (true, Some(since)) = (mends, direction.since) {
                        sooner((since + self.settings.stall_ms).max(now + 1));
                    }
                }
            }
            if let (Stream::Closed, Some(at)) = (self.stream, self.stream_at) {
                sooner(at.max(now + 1));
            }
            if let Stream::Open { heard_at, pinged } = self.stream {
                let beats = if pinged { 2 } else { 1 };
                sooner((heard_at + beats * self.settings.heartbeat_ms).max(now + 1));
            }
        }
        if next != self.timer {
            self.timer = next;
            actions.push(Action::SetTimer(next));
        }
    }
}
