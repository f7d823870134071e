//! What an app shows of a session.

use super::{Credentials, Phase, Progress, Session, Status, Stream};

impl Session {
    /// What an app shows.
    pub fn status(&self) -> Status {
        let errors = [&self.push.error, &self.pull.error, &self.uploads.error];
        let error = errors.into_iter().flatten().next();
        Status {
            phase: self.phase(),
            pending: self.memory.waiting,
            held: self.memory.held,
            uploads: self.memory.uploads,
            dead_letters: self.memory.dead_letters,
            incomplete: self.memory.incomplete,
            realtime: matches!(self.stream, Stream::Open { .. }),
            last_synced_ms: self.last_synced_ms,
            error: error.cloned(),
            repairs: self.repairs,
            last_repair: self.last_repair.clone(),
        }
    }

    fn phase(&self) -> Phase {
        if let Some(failure) = &self.lost {
            return Phase::Stuck(failure.clone());
        }
        if !self.settings.server {
            return Phase::Local;
        }
        if self.follows {
            return Phase::Follower;
        }
        if !self.started || !self.leads || !self.online {
            return Phase::Offline;
        }
        if self.credentials == Credentials::Bad {
            return Phase::SignedOut;
        }
        if let Some(failure) = &self.upgrade {
            return Phase::UpgradeRequired(failure.clone());
        }
        if let Some(failure) = [&self.push, &self.pull].into_iter().find_map(|direction| direction.is_stuck()) {
            return Phase::Stuck(failure.clone());
        }
        if !self.reached {
            return Phase::Connecting;
        }
        let waits = self.memory.waiting > 0 || self.owes_pull || self.progress.rows > 0;
        if waits || self.away || !self.memory.complete || self.memory.staging {
            return Phase::CatchingUp(Progress { waiting: self.memory.waiting as u64, ..self.progress });
        }
        Phase::Live
    }
}
