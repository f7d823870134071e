//! Requests that are let in, and the shares that they hold until their answers are sent.

use super::{
    stream::{StreamTimes, Streams},
    turn::Turns,
};
use crate::{
    http::error::HttpError,
    settings::AdmissionSettings,
    share::{Full, Share, ShareLimits, Shares},
};

/// How long who holds too much waits before it comes again, in seconds.
const RETRY_AFTER_S: u64 = 2;

/// The resources of one server that actors share.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    requests: Shares,
    bytes: Shares,
    streams: Streams,
    pushes: Turns,
    pulls: Turns,
    uploads: Turns,
}

/// How many uploads of one actor are completed at a time: each reads all of its bytes.
const MAX_COMPLETIONS: usize = 2;

/// How many of an actor's requests run at a time, beside each other's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxTurns {
    /// Pushes.
    pub(crate) pushes: usize,
    /// Pulls of a page.
    pub(crate) pulls: usize,
}

/// A request's share: its place among those in flight, and the bytes that it holds.
#[derive(Debug)]
pub(crate) struct Admitted {
    _request: Share,
    bytes: Share,
}

impl Admission {
    /// Nobody is in; at most so many pulls are streamed at once, and so many requests of one actor run.
    pub(crate) fn new(settings: &AdmissionSettings, max_streams: u32, max_turns: MaxTurns) -> Self {
        let (requests, bytes) = (settings.max_requests, settings.max_bytes);
        let requests =
            Shares::new(ShareLimits { per_actor: settings.max_requests_per_actor.into(), all: requests.into() });
        let bytes = Shares::new(ShareLimits { per_actor: settings.max_bytes_per_actor as u64, all: bytes as u64 });
        Self {
            requests,
            bytes,
            streams: Streams::new(max_streams, StreamTimes::default()),
            pushes: Turns::new(max_turns.pushes),
            pulls: Turns::new(max_turns.pulls),
            uploads: Turns::new(MAX_COMPLETIONS),
        }
    }

    /// Lets a request in before anything of its body is read.
    pub(in crate::http) fn request(&self, actor: &str) -> Result<Admitted, HttpError> {
        self.bytes.has_room(actor)?;
        Ok(Admitted { _request: self.requests.acquire(actor, 1)?, bytes: self.bytes.nothing(actor) })
    }

    /// The pushes that run.
    pub(in crate::http) fn pushes(&self) -> &Turns {
        &self.pushes
    }

    /// The pulls of a page that run.
    pub(in crate::http) fn pulls(&self) -> &Turns {
        &self.pulls
    }

    /// The uploads that are completed.
    pub(in crate::http) fn uploads(&self) -> &Turns {
        &self.uploads
    }

    /// The pulls that are streamed.
    pub(in crate::http) fn streams(&self) -> &Streams {
        &self.streams
    }

    /// The bytes that requests and sockets hold: those that came and are worked on, and those that wait to be sent.
    pub(crate) fn bytes(&self) -> &Shares {
        &self.bytes
    }

    /// The requests in flight.
    pub(crate) fn requests(&self) -> &Shares {
        &self.requests
    }
}

impl Admitted {
    /// The bytes that the request holds.
    pub(in crate::http) fn bytes(&mut self) -> &mut Share {
        &mut self.bytes
    }
}

impl From<Full> for HttpError {
    fn from(full: Full) -> Self {
        match full {
            Full::Actor => Self::TooManyRequests { retry_after_s: RETRY_AFTER_S },
            Full::All => Self::Crowded,
        }
    }
}
