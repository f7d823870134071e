//! The world: devices, a server, what is on its way between them, and the steps that happen to it.

use crate::device::Device;
use crate::external::{DeletedRows, ExternalWriter};
use crate::fixture::Fixture;
use crate::hostile::Hostile;
use crate::net::{Lane, Load, Message};
use crate::server::Server;
use crate::step::Step;
use crate::trace::Trace;
use crate::verify;
use nizhal_client::session::Event;
use nizhal_client::store::SqliteFault;
use nizhal_runtime::store::{Injected, StatementFault};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a check found wrong, beginning with the invariant's number.
pub(crate) type Check = Result<(), String>;

/// When simulated time begins: 2100-01-01, so that the real clock, which SQLite's triggers read, stays behind it.
const BEGIN_MS: i64 = 4_102_444_800_000;
/// Whose devices there are: of the first user two.
const USERS: [usize; 3] = [0, 1, 0];

/// A mutation that a device took in.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) device: usize,
    pub(crate) name: &'static str,
    pub(crate) args: Value,
}

pub(crate) struct Sim<'a> {
    pub(crate) fixture: &'a Fixture<'a>,
    /// Steady time.
    pub(crate) now: i64,
    pub(crate) devices: Vec<Device>,
    pub(crate) server: Server,
    server_clock_ms: i64,
    pub(crate) network: Vec<Message>,
    pub(crate) trace: Trace,
    pub(crate) taken: BTreeMap<String, Taken>,
    /// Mutations that a restore lost after their devices had let go of them.
    pub(crate) excused: BTreeSet<String>,
    /// Refused mutations that a person let go.
    pub(crate) let_go: BTreeSet<String>,
    pub(crate) hostile: Hostile,
    deleted_rows: DeletedRows,
    written: u64,
}

impl<'a> Sim<'a> {
    pub(crate) async fn new(fixture: &'a Fixture<'a>, told: bool) -> Result<Self, String> {
        let server = Server::new(fixture).await;
        let mut devices = Vec::new();
        for (at, user) in USERS.iter().enumerate() {
            devices.push(Device::new(fixture, at, user % fixture.honest).await?);
        }
        let mut sim = Self {
            fixture,
            now: 0,
            devices,
            server,
            server_clock_ms: 0,
            network: Vec::new(),
            trace: Trace::new(told),
            taken: BTreeMap::new(),
            excused: BTreeSet::new(),
            let_go: BTreeSet::new(),
            hostile: Hostile::default(),
            deleted_rows: DeletedRows::new(),
            written: 0,
        };
        for at in 0..sim.devices.len() {
            sim.begin(at).await?;
        }
        Ok(sim)
    }

    /// Closes what is open.
    pub(crate) async fn close(self) {
        for device in &self.devices {
            device.store.close().await;
        }
    }

    /// The place of a device that a step names.
    fn device(&self, named: u8) -> usize {
        usize::from(named) % self.devices.len()
    }

    pub(crate) fn wall_ms(&self, clock_ms: i64) -> i64 {
        BEGIN_MS + self.now + clock_ms
    }

    /// Lets a step happen; what it acts upon may be absent, then nothing does.
    pub(crate) async fn step(&mut self, step: Step) -> Check {
        self.trace.record(format_args!("{step:?}"));
        self.server.set_time(self.wall_ms(self.server_clock_ms));
        let happened = Box::pin(self.happen(step)).await?;
        if happened {
            self.trace.count(step.kind());
        }
        Box::pin(verify::step(self)).await
    }

    async fn happen(&mut self, step: Step) -> Result<bool, String> {
        let device = |named: u8| usize::from(named) % USERS.len();
        match step {
            Step::Write { device: at, mutator, draw, after } => self.write(device(at), mutator, draw, after).await,
            Step::Nudge(at) => self.handle_event(device(at), Event::Nudge).await.map(|()| true),
            Step::Sync(at) => self.sync(device(at)).await.map(|()| true),
            Step::Deliver(at) => self.deliver(at).await,
            Step::Lose(at) => self.lose(at).await,
            Step::Repeat(at) => Ok(self.repeat(at)),
            Step::GiveUp(at) => self.fail(device(at), "given up").await,
            Step::Late(at) => self.late(at).await,
            Step::Cut { message, at } => self.cut(message, at).await,
            Step::Corrupt { message, draw } => self.corrupt(message, draw).await,
            Step::Refuse { message, with } => Ok(self.refuse(message, with)),
            Step::Wait(ms) => self.wait(i64::from(ms)).await.map(|()| true),
            Step::Offline(at) => self.set_online(device(at), false).await,
            Step::Online(at) => self.set_online(device(at), true).await,
            Step::Crash(at) => self.crash(device(at)).await.map(|()| true),
            Step::CutPower { device: at, statements } => {
                // Counted when it goes.
                self.devices[device(at)].store.cut_power_after(u64::from(statements) + 1);
                Ok(false)
            }
            Step::FailDevice { device: at, statements, error } => {
                // Counted when it happens.
                let fault = SqliteFault::ALL[usize::from(error) % SqliteFault::ALL.len()];
                let rolls_back = error % 3 > 0 || matches!(fault, SqliteFault::RaiseRollback | SqliteFault::OrRollback);
                self.devices[device(at)].store.fail_after(u64::from(statements), fault, rolls_back);
                Ok(false)
            }
            Step::EndStream(at) => {
                let at = device(at);
                let open = std::mem::take(&mut self.devices[at].stream);
                if open {
                    self.handle_event(at, Event::StreamClosed { unauthorized: false }).await?;
                }
                Ok(open)
            }
            Step::Silence(at) => {
                let device = &mut self.devices[device(at)];
                device.silent |= device.stream;
                Ok(device.stream)
            }
            Step::Kill => {
                self.server.kill(self.fixture).await;
                self.streams_close().await?;
                Ok(true)
            }
            Step::KillWithin(calls) => {
                self.server.kill_within(calls + 1);
                Ok(false)
            }
            // Counted when they happen.
            Step::FailServer { statements, error } => {
                let error = Injected::ALL[usize::from(error) % Injected::ALL.len()];
                Ok(self.server.fail_after(statements, step.kind(), error))
            }
            Step::EndConnection(statements) => {
                Ok(self.server.fail_after(statements, step.kind(), StatementFault::Ended))
            }
            Step::SilenceConnection(statements) => {
                Ok(self.server.fail_after(statements, step.kind(), StatementFault::Silent))
            }
            Step::DeviceClock { device: at, by } => {
                self.devices[device(at)].clock_ms += i64::from(by);
                Ok(true)
            }
            Step::ServerClock(by) => {
                self.server_clock_ms += i64::from(by);
                Ok(true)
            }
            Step::Expire(at) => {
                let token = self.devices[device(at)].token();
                Ok(self.server.refused.insert(token))
            }
            Step::SignOut(at) => {
                let at = device(at);
                self.devices[at].signed_out = true;
                let token = self.devices[at].token();
                Ok(self.server.refused.insert(token))
            }
            Step::PageRows(rows) => {
                self.server.page_rows = rows.max(1);
                Ok(true)
            }
            Step::UpgradeServer if self.server.version == 1 => Ok(false),
            Step::UpgradeServer => {
                self.server.upgrade(self.fixture).await?;
                self.streams_close().await?;
                Ok(true)
            }
            Step::UpgradeDevice(at) => {
                let at = self.device(at);
                // Servers are rolled out before clients.
                if self.server.version == 0 || self.devices[at].version == 1 {
                    return Ok(false);
                }
                self.devices[at].version = 1;
                self.crash(at).await.map(|()| true)
            }
            Step::NewEpoch => self.server.new_epoch(self.fixture).await.map(|()| true),
            Step::CollectBlobs => self.collect_blobs().await,
            Step::SpoilUpload(named) => Ok(self.spoil_upload(named)),
            Step::BlobStoreAway => Ok(!std::mem::replace(&mut self.server.blobs_away, true)),
            Step::BlobStoreBack => Ok(std::mem::take(&mut self.server.blobs_away)),
            Step::Probe(draw) => self.probe(draw).await,
            Step::Collect => {
                self.server.collect(self.fixture).await?;
                let forgotten = self.server.forget_settled(self.fixture).await?;
                if self.outlived(forgotten).await? {
                    self.trace.count("settled mutations forgotten");
                }
                Ok(true)
            }
            Step::Image(draw) => self.image(draw).await,
            Step::ForgetImages => self.forget_images().await,
            Step::LoseImage(draw) => Ok(self.server.images.lose(draw)),
            Step::Backup => self.server.back_up(self.fixture).await.map(|()| true),
            Step::Restore { told } => self.restore(told).await,
            Step::Discard(at) => self.discard(device(at)).await,
            Step::Retry(at) => self.retry(device(at)).await,
            Step::Subscribe { device: at, draw } => self.subscribe(device(at), draw).await,
            Step::Forge(draw) => self.forge(draw).await,
            Step::Reuse(draw) => self.reuse(draw).await,
            Step::Swap(draw) => self.swap(draw).await,
            Step::Flood(draw) => self.flood(draw).await,
            Step::HangUp(draw) => self.hang_up(draw).await,
            Step::Grant(_)
            | Step::Revoke(_)
            | Step::Move(_)
            | Step::Change(_)
            | Step::Insert(_)
            | Step::Delete(_)
            | Step::Revive(_)
            | Step::Replace(_) => self.others_write(step).await,
        }
    }

    async fn others_write(&mut self, step: Step) -> Result<bool, String> {
        let mut external =
            ExternalWriter { fixture: self.fixture, server: &mut self.server, deleted_rows: &mut self.deleted_rows };
        let wrote = match step {
            Step::Grant(draw) => external.grant(draw).await,
            Step::Revoke(draw) => external.revoke(draw).await,
            Step::Move(draw) => external.relocate(draw).await,
            Step::Change(draw) => external.change(draw).await,
            Step::Insert(draw) => external.insert(draw).await,
            Step::Delete(draw) => external.delete(draw).await,
            Step::Revive(draw) => external.revive(draw).await,
            Step::Replace(draw) => external.replace(draw).await,
            _ => Ok(None),
        }?;
        let Some(sql) = wrote else { return Ok(false) };
        self.trace.record_unhashed(format_args!("  {sql}"));
        self.ping();
        Ok(true)
    }

    /// The server tells whoever listens that something changed.
    pub(crate) fn ping(&mut self) {
        for at in 0..self.devices.len() {
            let waits = self.network.iter().any(|message| message.device == at && matches!(message.load, Load::Ping));
            if self.devices[at].stream && !self.devices[at].silent && !waits {
                self.network.push(Message { device: at, lane: Lane::Exchange, ticket: 0, load: Load::Ping });
            }
        }
    }

    pub(crate) async fn streams_close(&mut self) -> Check {
        self.network.retain(|message| !matches!(message.load, Load::Ping));
        for at in 0..self.devices.len() {
            if std::mem::take(&mut self.devices[at].stream) {
                self.handle_event(at, Event::StreamClosed { unauthorized: false }).await?;
            }
        }
        Ok(())
    }

    async fn restore(&mut self, told: bool) -> Result<bool, String> {
        let ids = format!("select client_mutation_id from _nizhal_mutations where {}", self.fixture.is_honest());
        let before = self.server.texts(&ids).await?;
        if !self.server.restore(self.fixture).await? {
            return Ok(false);
        }
        if told {
            self.server.new_epoch(self.fixture).await?;
        }
        let after: BTreeSet<String> = self.server.texts(&ids).await?.into_iter().collect();
        for id in before.into_iter().filter(|id| !after.contains(id)) {
            let Some(taken) = self.taken.get(&id) else { continue };
            let kept = self.devices[taken.device].texts("select id from _nizhal_outbox").await?;
            if !kept.contains(&id) {
                self.excused.insert(id);
            }
        }
        // Every connection broke.
        self.network.clear();
        for at in 0..self.devices.len() {
            self.fail(at, "the server went").await?;
        }
        self.streams_close().await?;
        Ok(true)
    }

    /// Lets time pass; timers go off in their order.
    pub(crate) async fn wait(&mut self, ms: i64) -> Check {
        let until = self.now + ms;
        loop {
            let due = self.devices.iter().enumerate().filter_map(|(at, device)| Some((device.timer?, at)));
            let Some((time, at)) = due.min().filter(|(time, _)| *time <= until) else { break };
            self.now = self.now.max(time);
            self.devices[at].timer = None;
            self.handle_event(at, Event::Timer).await?;
        }
        self.now = until;
        Ok(())
    }

    async fn write(&mut self, at: usize, mutator: u8, draw: u32, after: bool) -> Result<bool, String> {
        let mutator = usize::from(mutator) % self.fixture.mutators.len();
        let [ids, values] = self.devices[at].pool(self.fixture).await?;
        self.written += 1;
        let now_ms = self.wall_ms(self.devices[at].clock_ms);
        let mut random = nizhal_core::Random::of(&format!("args {draw}"));
        // Made of the draw alone, so that the rest of a script can go without it becoming another.
        let fresh = format!("n{draw}-{}", self.written);
        let mut drawing = crate::args::Draw { random: &mut random, ids: &ids, values: &values, fresh, now_ms };
        let args = self.fixture.args(mutator, &mut drawing);
        if !self.add_blobs(at, &args, draw).await? {
            return Ok(false);
        }
        let depends_on = self.devices[at].last.clone().filter(|_| after).into_iter().collect();
        let wrote = self.mutate(at, self.fixture.mutators[mutator].desc.name, args, depends_on, None).await?;
        Ok(wrote)
    }
}
