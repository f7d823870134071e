//! The end of all trouble, after which everything must come right within a bounded number of rounds.

use crate::sim::{Check, Sim};
use nizhal_client::session::{Event, Phase};
use nizhal_client::store::Store as _;

/// Rounds in which every message arrives and the next timer goes off.
const ROUNDS: usize = 120;

impl Sim<'_> {
    /// Ends the trouble and lets the world come to rest.
    pub(crate) async fn quiesce(&mut self) -> Check {
        self.trace.record(format_args!("healing"));
        self.server.spare();
        self.server.page_rows = 200;
        self.server.blobs_away = false;
        self.network.clear();
        for at in 0..self.devices.len() {
            let device = &mut self.devices[at];
            device.store.cut_power_after(u64::MAX);
            device.store.spare();
            device.signed_out = false;
            device.renew_token();
            self.fail(at, "the trouble ends").await?;
            self.set_online(at, true).await?;
            if at % 2 == 1 {
                // Of those that begin anew nothing is left of the trouble, so nothing may need the watchdog.
                self.crash(at).await?;
            }
            self.handle_event(at, Event::SignedIn).await?;
        }
        self.run_until_converged().await?;
        // What others wrote meanwhile was pinged to whoever listened; now everybody looks.
        for at in 0..self.devices.len() {
            self.handle_event(at, Event::Nudge).await?;
        }
        self.run_until_converged().await?;
        match self.devices.iter().enumerate().find(|(at, device)| at % 2 == 1 && device.status.repairs > 0) {
            Some((at, device)) => Err(format!("inv04: the watchdog had to mend device {at}: {:?}", device.status)),
            None => Ok(()),
        }
    }

    /// Whether every device has all that there is, and nothing left to hear.
    async fn has_converged(&self) -> Result<bool, String> {
        for device in &self.devices {
            let memory = device.store.memory().await.map_err(|error| format!("inv22: {error:?}"))?;
            if device.status.phase != Phase::Live || memory.waiting + memory.unseen > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn run_until_converged(&mut self) -> Check {
        for _ in 0..ROUNDS {
            for at in 0..self.devices.len() {
                self.sync(at).await?;
            }
            let quiet = !self.network.iter().any(|message| self.is_heard(message));
            if quiet && self.has_converged().await? {
                return Ok(());
            }
            let next = self.devices.iter().filter_map(|device| device.timer).min();
            if let (true, Some(next)) = (quiet, next) {
                self.wait(next.saturating_sub(self.now).max(0)).await?;
            }
        }
        let status: Vec<_> = self.devices.iter().map(|device| &device.status).collect();
        Err(format!("inv04: the world does not come to rest: {status:#?}"))
    }
}
