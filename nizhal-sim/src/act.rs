//! What devices do: the driver's part, one thing after the other.

use crate::device::{Polled, PolledUpload, some_sql};
use crate::net::{Lane, Load, Message};
use crate::sim::{Check, Sim, Taken};
use crate::verify;
use crate::world::uuid;
use nizhal_client::environment::Ids;
use nizhal_client::session::{Action, Event, Failure, FailureKind, UploadEnded};
use nizhal_client::store::{Draft, MutateError, Store as _};
use nizhal_client::{ReceivedAnswer, run_store_action};
use nizhal_core::{Bucket, DateTimeUtc, Random, Rule, Uuid};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// A device's ids.
pub(crate) struct SimIds(pub(crate) Arc<Mutex<Random>>);

impl Ids for SimIds {
    fn new_id(&self) -> Uuid {
        uuid(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sim<'_> {
    /// A device was just started.
    pub(crate) async fn begin(&mut self, at: usize) -> Check {
        let memory = self.devices[at].store.memory().await.map_err(|error| format!("inv22: {error:?}"))?;
        self.handle_event(at, Event::Started(memory)).await?;
        let event = if self.devices[at].online { Event::Online } else { Event::Offline };
        self.handle_event(at, event).await
    }

    /// A device's power goes and comes back.
    pub(crate) async fn crash(&mut self, at: usize) -> Check {
        self.trace.record(format_args!("  {at} restarts"));
        self.devices[at].restart(self.fixture, at).await?;
        Box::pin(self.begin(at)).await
    }

    /// Whether a device's power went; then it is back.
    pub(crate) async fn power_went(&mut self, at: usize) -> Result<bool, String> {
        let went = self.devices[at].store.is_cut();
        if went {
            self.trace.count("crash within");
            self.crash(at).await?;
        }
        Ok(went)
    }

    /// Tells a device's session of an event, and does what it wants done until it wants nothing.
    pub(crate) async fn handle_event(&mut self, at: usize, event: Event) -> Check {
        self.devices[at].stirred = true;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.trace.record(format_args!("  {at} {}", brief(&event)));
            let actions = self.devices[at].session.handle(event, self.now);
            for action in actions {
                let event = self.perform(at, action).await?;
                if self.power_went(at).await? {
                    return Ok(());
                }
                events.extend(event);
            }
        }
        Ok(())
    }

    async fn perform(&mut self, at: usize, action: Action) -> Result<Option<Event>, String> {
        let now_ms = self.wall_ms(self.devices[at].clock_ms);
        let device = &mut self.devices[at];
        Ok(match action {
            Action::PublishStatus(status) => {
                device.status = *status;
                None
            }
            Action::SetTimer(timer) => {
                device.timer = timer;
                None
            }
            Action::Lead => Some(Event::Leads(true)),
            Action::Pull { streamed } => {
                device.pull(streamed, now_ms);
                self.go_on(at).await
            }
            Action::Push { most } => {
                device.push(most);
                self.go_on(at).await
            }
            Action::StorePull
            | Action::StorePush
            | Action::Park(_)
            | Action::UploadAnew(_)
            | Action::Rotate
            | Action::Repair => self.store(at, action).await?,
            Action::Upload => {
                device.upload();
                self.go_on_uploading(at).await?
            }
            Action::AbortUpload if device.give_up_upload() => {
                self.upload_ended(at, Some(Failure::new(FailureKind::Aborted, "aborted", "given up"))).await?
            }
            Action::AbortUpload => None,
            Action::RefreshToken if device.signed_out => {
                let failure = Failure::new(FailureKind::Unauthorized, "signed_out", "nobody is signed in");
                Some(Event::TokenFailed(failure))
            }
            Action::RefreshToken => {
                device.renew_token();
                Some(Event::TokenRefreshed)
            }
            Action::OpenStream => {
                let unauthorized = self.server.refused.contains(&device.token());
                (device.stream, device.silent) = (!unauthorized, false);
                Some(if unauthorized { Event::StreamClosed { unauthorized } } else { Event::StreamOpened })
            }
            Action::CloseStream => {
                device.stream = false;
                None
            }
            Action::Ping => (device.stream && !device.silent).then_some(Event::Frame { repull: false }),
            Action::Abort => {
                device.give_up();
                Some(Event::PullFailed(Failure::new(FailureKind::Aborted, "aborted", "given up")))
            }
        })
    }

    /// Lets what is under way go on; the event that it came to, if it did.
    async fn go_on(&mut self, at: usize) -> Option<Event> {
        let device = &mut self.devices[at];
        match device.poll().await? {
            Polled::Sent(request) => {
                let ticket = device.ticket;
                self.network.push(Message { device: at, lane: Lane::Exchange, ticket, load: Load::Request(request) });
                None
            }
            Polled::Done(Ok(answer)) => {
                let event = match &answer {
                    ReceivedAnswer::Pulled(_) => Event::PullAnswered,
                    ReceivedAnswer::Pushed(_) => Event::PushAnswered,
                };
                device.answer = Some(answer);
                Some(event)
            }
            Polled::Done(Err(failure)) => {
                device.truth = None;
                Some(if device.pulls { Event::PullFailed(failure) } else { Event::PushFailed(failure) })
            }
        }
    }

    /// Lets an upload go on; the event that it came to, if it did.
    async fn go_on_uploading(&mut self, at: usize) -> Result<Option<Event>, String> {
        let device = &mut self.devices[at];
        match device.poll_upload().await {
            Some(PolledUpload::Sent(request)) => {
                let ticket = device.uploading.ticket;
                self.network.push(Message { device: at, lane: Lane::Upload, ticket, load: Load::Request(request) });
                Ok(None)
            }
            Some(PolledUpload::Done(failure)) => {
                if failure.is_none() {
                    self.trace.count("uploaded");
                }
                self.upload_ended(at, failure).await
            }
            None => Ok(None),
        }
    }

    /// Tells of the end of an upload; nothing where the power went meanwhile.
    async fn upload_ended(&mut self, at: usize, failure: Option<Failure>) -> Result<Option<Event>, String> {
        let device = &mut self.devices[at];
        if device.store.is_cut() {
            return Ok(None);
        }
        if device.took_fault() {
            self.trace.count("database error on a device");
        }
        let memory = self.devices[at].store.memory().await.map_err(|error| format!("inv22: {error:?}"))?;
        Ok(Some(Event::UploadEnded(UploadEnded { memory, failure })))
    }

    /// A device hears what became of its request.
    pub(crate) async fn respond(
        &mut self,
        at: usize,
        lane: Lane,
        response: Result<nizhal_client::transport::Response, Failure>,
    ) -> Result<bool, String> {
        if lane == Lane::Upload {
            let Some(waiting) = self.devices[at].uploading.waiting.take() else { return Ok(false) };
            let _ = waiting.send(response);
            let event = self.go_on_uploading(at).await?;
            if self.power_went(at).await? {
                return Ok(true);
            }
            if let Some(event) = event {
                self.handle_event(at, event).await?;
            }
            return Ok(true);
        }
        let Some(waiting) = self.devices[at].waiting.take() else { return Ok(false) };
        // The request itself waits at the other end.
        let _ = waiting.send(response);
        if let Some(event) = self.go_on(at).await {
            if self.power_went(at).await? {
                return Ok(true);
            }
            self.handle_event(at, event).await?;
        }
        Ok(true)
    }

    async fn store(&mut self, at: usize, action: Action) -> Result<Option<Event>, String> {
        let device = &mut self.devices[at];
        let (answer, truth, ids) = (device.answer.take(), device.truth.take(), SimIds(device.ids()));
        match run_store_action(&device.store, &ids, action, answer, &|_| ()).await {
            Ok((event, _)) => {
                if let (Event::PullStored(stored), Some(truth)) = (&event, truth)
                    && stored.complete
                {
                    verify::snapshot(self, at, &truth).await?;
                }
                Ok(Some(event))
            }
            Err(_) if device.store.is_cut() => Ok(None),
            Err(error) if device.took_fault() => {
                self.trace.count("database error on a device");
                Ok(Some(Event::StoreFailed(error.failure())))
            }
            Err(error) => {
                let failure = error.failure();
                if failure.kind != FailureKind::Malformed {
                    return Err(format!("inv22: the store of device {at} failed: {error:?}"));
                }
                Ok(Some(Event::StoreFailed(failure)))
            }
        }
    }

    /// A user writes; false when the mutator said no.
    pub(crate) async fn mutate(
        &mut self,
        at: usize,
        name: &'static str,
        args: Value,
        depends_on: Vec<String>,
        replaces: Option<String>,
    ) -> Result<bool, String> {
        let id = self.devices[at].new_id().to_string();
        let now = self.wall_ms(self.devices[at].clock_ms);
        let draft = Draft {
            id: id.clone(),
            name: name.to_owned(),
            args: args.to_string(),
            now: DateTimeUtc::from_timestamp_millis(now).unwrap_or_default(),
            local: true,
            depends_on,
            replaces,
        };
        self.trace.record_unhashed(format_args!("  {at} {name} {args}"));
        self.trace.calls.entry(name).or_default().tried += 1;
        let device = &mut self.devices[at];
        match device.store.mutate(draft).await {
            Ok(written) => {
                device.last = Some(id.clone());
                self.taken.insert(id, Taken { device: at, name, args });
                if !self.power_went(at).await? {
                    self.handle_event(at, Event::Wrote(written.memory)).await?;
                }
                Ok(true)
            }
            Err(_) if device.store.is_cut() => self.power_went(at).await,
            Err(MutateError::Store(_)) if device.took_fault() => {
                self.trace.record(format_args!("  {at} {name} finds the disk in trouble"));
                self.trace.count("database error on a device");
                Ok(false)
            }
            Err(error @ (MutateError::Rejected(_) | MutateError::InvalidArgs(_) | MutateError::Failed(_))) => {
                self.trace.calls.entry(name).or_default().refusal = Some(format!("{error:?}"));
                self.trace.record(format_args!("  {at} {name} says no"));
                Ok(false)
            }
            Err(error) => Err(format!("inv22: the store of device {at} failed: {error:?}")),
        }
    }

    /// The server makes an image of one of a user's buckets; false when it had no reason to, or died of it.
    pub(crate) async fn image(&mut self, draw: u32) -> Result<bool, String> {
        let user = usize::try_from(draw).unwrap_or_default() % self.fixture.honest;
        let made = self.server.make_image(self.fixture, user, draw).await?;
        self.outlived(made).await
    }

    /// The server forgets images; false when there were none, or it died of it.
    pub(crate) async fn forget_images(&mut self) -> Result<bool, String> {
        let forgotten = self.server.forget_images(self.fixture).await?;
        self.outlived(forgotten).await
    }

    /// What the server did, or false where it died, and its streams with it.
    pub(crate) async fn outlived(&mut self, done: Option<bool>) -> Result<bool, String> {
        if done.is_none() {
            self.trace.record(format_args!("  the server dies"));
            self.streams_close().await?;
        }
        Ok(done == Some(true))
    }

    /// An app subscribes to a bucket on demand, for the `ttl` of its rule, be it the user's or another's; false when no rule is on demand.
    pub(crate) async fn subscribe(&mut self, at: usize, draw: u32) -> Result<bool, String> {
        let rules: Vec<&Rule> = self.fixture.rules.iter().filter(|rule| rule.on_demand.is_some()).collect();
        let draw = usize::try_from(draw).unwrap_or_default();
        let Some(rule) = rules.get(draw % rules.len().max(1)) else { return Ok(false) };
        let mut params = Vec::new();
        for param in 0..rule.params.len() {
            // Any value that rows have in the parameter's place.
            let lines =
                rule.tables.iter().map(|line| some_sql(line.table.name, line.table.columns[line.scope[param]].name));
            let sql = format!(
                "select * from ({}) order by 1",
                lines.map(|sql| format!("select * from ({sql})")).collect::<Vec<_>>().join(" union ")
            );
            let values = self.server.texts(&sql).await?;
            let Some(value) = values.get(draw % values.len().max(1)) else { return Ok(false) };
            params.push(value.clone());
        }
        let ttl_ms =
            rule.on_demand.and_then(|on_demand| i64::try_from(on_demand.ttl_s).ok()).unwrap_or_default() * 1_000;
        let bucket = Bucket::new(rule.name, params).qualified();
        let until_ms = self.wall_ms(self.devices[at].clock_ms).saturating_add(ttl_ms);
        self.trace.record(format_args!("  {at} subscribes to {bucket}"));
        let subscribed = self.devices[at].store.subscribe(&bucket, until_ms, 100).await;
        if self.power_went(at).await? {
            return Ok(true);
        }
        if subscribed.is_err() && self.devices[at].took_fault() {
            self.trace.count("database error on a device");
            return Ok(false);
        }
        let subscribed = subscribed.map_err(|error| format!("inv22: {error:?}"))?;
        self.handle_event(at, Event::Nudge).await?;
        Ok(subscribed)
    }

    pub(crate) async fn discard(&mut self, at: usize) -> Result<bool, String> {
        let failed = |error| format!("inv22: {error:?}");
        let Some(dead_letter) = self.devices[at].store.dead_letters().await.map_err(failed)?.into_iter().next() else {
            return Ok(false);
        };
        let gone = self.devices[at].store.discard(&dead_letter.id).await;
        if self.power_went(at).await? {
            // Whether it was still done shows when all is over.
            self.let_go.insert(dead_letter.id);
            return Ok(true);
        }
        if gone.is_err() && self.devices[at].took_fault() {
            self.trace.count("database error on a device");
            return Ok(false);
        }
        gone.map_err(failed)?;
        self.let_go.insert(dead_letter.id);
        let memory = self.devices[at].store.memory().await.map_err(failed)?;
        self.handle_event(at, Event::Wrote(memory)).await.map(|()| true)
    }

    pub(crate) async fn retry(&mut self, at: usize) -> Result<bool, String> {
        let dead_letters = self.devices[at].store.dead_letters().await.map_err(|error| format!("inv22: {error:?}"))?;
        let Some(dead_letter) = dead_letters.into_iter().next() else { return Ok(false) };
        let entry = self.fixture.mutators.iter().find(|entry| entry.desc.name == dead_letter.name);
        let Some(name) = entry.map(|entry| entry.desc.name) else { return Ok(false) };
        let args = serde_json::from_str(&dead_letter.args).unwrap_or_default();
        let done = self.mutate(at, name, args, Vec::new(), Some(dead_letter.id.clone())).await?;
        if done {
            self.let_go.insert(dead_letter.id);
        }
        Ok(done)
    }

    pub(crate) async fn set_online(&mut self, at: usize, online: bool) -> Result<bool, String> {
        if self.devices[at].online == online {
            return Ok(false);
        }
        self.devices[at].online = online;
        self.handle_event(at, if online { Event::Online } else { Event::Offline }).await.map(|()| true)
    }
}

/// An event without texts that differ from run to run.
fn brief(event: &Event) -> String {
    match event {
        Event::PullFailed(failure) => format!("PullFailed {} {:?}", failure.code, failure.retry_after_ms),
        Event::PushFailed(failure) => format!("PushFailed {} {:?}", failure.code, failure.retry_after_ms),
        Event::StoreFailed(failure) => format!("StoreFailed {}", failure.code),
        Event::UploadEnded(ended) => format!("UploadEnded {:?}", ended.failure.as_ref().map(|failure| &failure.code)),
        event => format!("{event:?}"),
    }
}
