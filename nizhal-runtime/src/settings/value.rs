//! The values of settings that are more than a number or a text.

use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

/// The most buckets of an actor, unless the app says otherwise.
pub const MAX_BUCKETS: usize = 10_000;

/// Where the server runs: decides what it may do by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Provisions and seeds at start, and makes a secret of its own when none is given.
    #[default]
    Development,
    /// Touches no schema at start and refuses to run without a secret.
    Production,
}

impl Mode {
    /// The name that `NIZHAL_ENV` uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Production => "production",
        }
    }
}

/// How the events of the log are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object in a line.
    Json,
}

impl LogFormat {
    pub(super) const VARIABLE: &str = "NIZHAL_LOG_FORMAT";
}

/// How many requests one actor may make in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The requests.
    pub requests: NonZeroU32,
    /// The period.
    pub period: Duration,
}

/// The origins that a browser may call from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cors {
    /// None but the server's own.
    #[default]
    Off,
    /// Any.
    Any,
    /// These.
    Origins(Vec<String>),
}

/// Where a set of public keys is. `Display` and `Debug` leave a URL's query out, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum JwksSource {
    /// A file.
    File(PathBuf),
    /// `https://…`, or `http://…` inside a network of one's own.
    Url(String),
}

impl fmt::Display for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url.split('?').next().unwrap_or(url)),
        }
    }
}

impl fmt::Debug for JwksSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwksSource({self})")
    }
}
