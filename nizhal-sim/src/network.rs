//! What happens to messages.

use crate::act::SimIds;
use crate::net::{BLOB, IMAGE, Lane, Load, Message, Pushed, ServerResponse, network, pull_start};
use crate::sim::{Check, Sim};
use crate::verify;
use nizhal_client::exchange::Pulled;
use nizhal_client::session::{Action, Event};
use nizhal_client::store::{PullAnswer, Store as _, StoreError};
use nizhal_client::{ReceivedAnswer, run_store_action};

/// A request that nobody waits for.
const NOBODY: u64 = u64::MAX;
/// How many messages a device may have delivered in one go.
const MAX_MESSAGES: usize = 60;

impl Sim<'_> {
    /// The place of a message among those that fit.
    fn find(&self, named: u8, fits: impl Fn(&Self, &Message) -> bool) -> Option<usize> {
        let found = self.network.iter().enumerate().filter(|(_, message)| fits(self, message));
        let found: Vec<usize> = found.map(|(at, _)| at).collect();
        (!found.is_empty()).then(|| found[usize::from(named) % found.len()])
    }

    fn is_waited_for(&self, message: &Message) -> bool {
        self.devices[message.device].waits_for(message.lane, message.ticket)
    }

    /// Whether it does something when it arrives; an answer that nobody waits for is left for [`late`](Self::late).
    pub(crate) fn is_heard(&self, message: &Message) -> bool {
        !matches!(message.load, Load::Response(..)) || self.is_waited_for(message)
    }

    pub(crate) async fn deliver(&mut self, named: u8) -> Result<bool, String> {
        let Some(at) = self.find(named, Self::is_heard) else { return Ok(false) };
        let message = self.network.remove(at);
        self.arrive(message).await.map(|()| true)
    }

    /// A device's messages, until it has none.
    pub(crate) async fn sync(&mut self, at: usize) -> Check {
        for _ in 0..MAX_MESSAGES {
            let of_device =
                |message: &Message| message.device == at && self.is_heard(message) && message.ticket != NOBODY;
            let Some(index) = self.network.iter().position(of_device) else { return Ok(()) };
            let message = self.network.remove(index);
            self.arrive(message).await?;
        }
        Ok(())
    }

    async fn arrive(&mut self, message: Message) -> Check {
        let at = message.device;
        let waited_for = self.is_waited_for(&message);
        match message.load {
            Load::Request(request) => {
                let user = self.devices[at].user;
                let answered = self.server.answer(self.fixture, user, &request).await?;
                let Some(answer) = answered else {
                    self.trace.record(format_args!("  the server dies"));
                    self.trace.count("server killed within");
                    self.streams_close().await?;
                    // What was committed before it died is told to nobody.
                    if waited_for {
                        self.respond(at, message.lane, Err(network("the server went"))).await?;
                    }
                    return Ok(());
                };
                self.trace.record(format_args!("  {at} {} -> {}", request.path, answer.status));
                self.trace.record_unhashed(format_args!("  {}", String::from_utf8_lossy(&answer.body)));
                if answer.status == 400 && request.path != BLOB {
                    return Err(format!("the server cannot read what device {at} sent to {}", request.path));
                }
                verify::answer(self, &format!("device {at}"), &request, &answer)?;
                if request.path == IMAGE && answer.status < 300 {
                    self.trace.count("image fetched");
                }
                if request.path != IMAGE && request.path != BLOB {
                    self.overhear(user, &request, Some(&answer));
                }
                if let Some(took) = answer.took {
                    self.trace.record(format_args!("  {took}"));
                    self.trace.count(took);
                }
                if request.path == "/sync/push" {
                    verify::on_disk(self, user, &answer).await?;
                    self.blob_rows().await?;
                    self.note_shown().await?;
                }
                if request.path == "/sync/push" && answer.status == 200 {
                    verify::clocks(self).await?;
                    self.ping();
                }
                self.network.push(Message { load: Load::Response(request, answer), ..message });
            }
            Load::Response(request, answer) if waited_for => {
                if request.path != IMAGE && request.path != BLOB {
                    self.devices[at].truth = answer.truth.clone();
                }
                self.respond(at, message.lane, Ok(answer.response(None))).await?;
            }
            Load::Response(..) => {}
            Load::Ping if self.devices[at].stream => self.handle_event(at, Event::Frame { repull: true }).await?,
            Load::Ping => {}
        }
        Ok(())
    }

    pub(crate) async fn lose(&mut self, named: u8) -> Result<bool, String> {
        let Some(at) = self.find(named, |_, _| true) else { return Ok(false) };
        let message = self.network.remove(at);
        if self.is_waited_for(&message) {
            self.respond(message.device, message.lane, Err(network("lost"))).await?;
        }
        Ok(true)
    }

    pub(crate) fn repeat(&mut self, named: u8) -> bool {
        let Some(at) = self.find(named, |_, message| matches!(message.load, Load::Request(_))) else { return false };
        let again = Message { ticket: NOBODY, ..self.network[at].clone() };
        self.network.push(again);
        true
    }

    /// A device's request fails, whatever becomes of its messages.
    pub(crate) async fn fail(&mut self, at: usize, code: &str) -> Result<bool, String> {
        let gave_up = self.respond(at, Lane::Exchange, Err(network(code))).await?;
        Ok(self.respond(at, Lane::Upload, Err(network(code))).await? || gave_up)
    }

    fn is_answer(&self, message: &Message) -> bool {
        matches!(message.load, Load::Response(..)) && self.is_waited_for(message)
    }

    pub(crate) async fn cut(&mut self, named: u8, after: u16) -> Result<bool, String> {
        let Some(at) = self.find(named, Self::is_answer) else { return Ok(false) };
        let Message { device, lane, load: Load::Response(_, answer), .. } = self.network.remove(at) else {
            return Ok(false);
        };
        self.respond(device, lane, Ok(answer.response(Some(usize::from(after))))).await
    }

    pub(crate) async fn corrupt(&mut self, named: u8, draw: u8) -> Result<bool, String> {
        let Some(at) = self.find(named, Self::is_answer) else { return Ok(false) };
        let Message { device, lane, load: Load::Response(_, mut answer), .. } = self.network.remove(at) else {
            return Ok(false);
        };
        let portal = b"<html><title>Welcome to the hotel</title></html>".to_vec();
        match draw % 6 {
            0 => answer.body = portal,
            1 => answer.body.clear(),
            2 => answer.body = b"{}".to_vec(),
            3 => (answer.status, answer.body) = (502, portal),
            4 => (answer.status, answer.body) = (302, Vec::new()),
            // Cut by somebody who does not say so.
            _ => answer.body.truncate(answer.body.len().saturating_sub(2 + usize::from(draw))),
        }
        self.respond(device, lane, Ok(answer.response(None))).await
    }

    pub(crate) fn refuse(&mut self, named: u8, with: u8) -> bool {
        let asks =
            |sim: &Self, message: &Message| matches!(message.load, Load::Request(_)) && sim.is_waited_for(message);
        let Some(at) = self.find(named, asks) else { return false };
        let answer = match with % 4 {
            0 => ServerResponse::refusal(429, "rate_limited", Some(2_000)),
            1 => ServerResponse::refusal(503, "unavailable", Some(1_000)),
            2 => ServerResponse::refusal(500, "internal", None),
            _ => ServerResponse::refusal(426, "upgrade_required", None),
        };
        if let Load::Request(request) = &self.network[at].load {
            self.network[at].load = Load::Response(request.clone(), answer);
        }
        true
    }

    /// An answer that its device waits for no more reaches its store all the same: the store promises that it does no harm.
    pub(crate) async fn late(&mut self, named: u8) -> Result<bool, String> {
        let stray = |sim: &Self, message: &Message| match &message.load {
            // One of a history that is over cannot come: whoever waited for it lost the connection.
            Load::Response(_, answer) => {
                answer.status == 200 && answer.era == sim.server.era && !sim.is_waited_for(message)
            }
            _ => false,
        };
        let Some(index) = self.find(named, stray) else { return Ok(false) };
        let Message { device: at, load: Load::Response(request, answer), .. } = self.network.remove(index) else {
            return Ok(false);
        };
        let (received, action) = if request.path == "/sync/pull" {
            let Some(start) = pull_start(&request) else { return Ok(false) };
            let mut lines: Vec<Vec<u8>> = answer.body.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            lines.retain(|line| !line.is_empty());
            let page = lines.pop().unwrap_or_default();
            let answer = PullAnswer { images: Vec::new(), lines, page };
            (ReceivedAnswer::Pulled(Pulled { start, answer }), Action::StorePull)
        } else if request.path == IMAGE || request.path == BLOB {
            return Ok(false);
        } else {
            let Ok(pushed) = serde_json::from_slice::<Pushed>(&answer.body) else { return Ok(false) };
            (ReceivedAnswer::Pushed(pushed.results), Action::StorePush)
        };
        let device = &self.devices[at];
        let ids = SimIds(device.ids());
        let done = run_store_action(&device.store, &ids, action, Some(received), &|_| ()).await;
        let memory = device.store.memory().await;
        if device.store.is_cut() {
            self.crash(at).await?;
            return Ok(true);
        }
        if done.is_err() && self.devices[at].took_fault() {
            self.trace.count("database error on a device");
            return Ok(true);
        }
        let failed = |error: StoreError| format!("inv22: a late answer: {error:?}");
        if let Err(StoreError::ImagesMissing) = done {
            // Another tab has its images.
            return Ok(true);
        }
        if let (Event::PullStored(stored), Some(truth)) = (done.map_err(failed)?.0, answer.truth)
            && stored.complete
        {
            verify::snapshot(self, at, &truth).await?;
        }
        self.handle_event(at, Event::Wrote(memory.map_err(failed)?)).await?;
        Ok(true)
    }
}
