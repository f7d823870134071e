//! Settings: what the environment and the builder say, parsed once at the door.

mod error;
mod parse;
mod secret;

pub use error::SettingsError;
pub use secret::Secret;

use std::{num::NonZeroU32, time::Duration};

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

/// How many requests one actor may make in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The requests.
    pub requests: NonZeroU32,
    /// The period.
    pub period: Duration,
}

/// Which origins a browser may call from.
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

/// Everything that differs between two runs of the same app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DATABASE_URL`: `postgres://…`, `sqlite://path` or `sqlite::memory:`; a SQLite file beside the app by default.
    pub database_url: String,
    /// `HOST`: the address to listen on; 127.0.0.1 by default.
    pub host: String,
    /// `PORT`: 4000 by default; 0 takes any free one.
    pub port: u16,
    /// `NIZHAL_ENV`.
    pub mode: Mode,
    /// `NIZHAL_AUTH_SECRET`: signs and verifies tokens.
    pub auth_secret: Option<Secret>,
    /// `NIZHAL_ADMIN_PASSWORD`: opens `/nizhal/stats`.
    pub admin_password: Option<Secret>,
    /// `NIZHAL_RATE_LIMIT`: `120/60s` by default; `None` is `off`.
    pub rate_limit: Option<RateLimit>,
    /// `NIZHAL_MAX_BODY_BYTES`: 1 MiB by default.
    pub max_body_bytes: usize,
    /// `NIZHAL_CORS`: off by default; `*` or origins with commas between them.
    pub cors: Cors,
    /// `NIZHAL_DB_POOL`: the most database connections; 10 by default.
    pub db_pool: u32,
    /// `NIZHAL_TOMBSTONE_DAYS`: how long deletes are remembered; 30 by default, `None` is `off`: for ever.
    pub tombstone_days: Option<u32>,
    /// `NIZHAL_ALLOW_BREAKING`: `on` lets a contract in that installed clients may not survive; off by default.
    pub allow_breaking: bool,
    /// `NIZHAL_JOB_WORKERS`: how many jobs this process runs at a time; 2 by default, 0 for none. One at most on SQLite.
    pub job_workers: u32,
}

/// The shortest secret that production takes, in bytes: the length of an HS256 digest.
const MIN_SECRET_BYTES: usize = 32;

impl Settings {
    /// The settings of an app when nothing is said.
    pub fn defaults(app: &str) -> Self {
        Self {
            database_url: format!("sqlite://{app}.db"),
            host: "127.0.0.1".to_owned(),
            port: 4000,
            mode: Mode::Development,
            auth_secret: None,
            admin_password: None,
            rate_limit: NonZeroU32::new(120).map(|requests| RateLimit { requests, period: Duration::from_secs(60) }),
            max_body_bytes: 1024 * 1024,
            cors: Cors::Off,
            db_pool: 10,
            tombstone_days: Some(30),
            allow_breaking: false,
            job_workers: 2,
        }
    }

    /// Reads every variable through `lookup`; an empty one counts as unset.
    ///
    /// # Errors
    /// [`SettingsError`] at the first value that cannot be used.
    pub fn from_lookup(app: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::defaults(app);
        let said = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if let Some(value) = said("DATABASE_URL") {
            settings.database_url = parse::database_url(&value)?;
        }
        if let Some(value) = said("HOST") {
            settings.host = parse::host(&value)?;
        }
        if let Some(value) = said("PORT") {
            settings.port = parse::number("PORT", &value, "a number from 0 to 65535, such as 4000")?;
        }
        if let Some(value) = said("NIZHAL_ENV") {
            settings.mode = parse::mode(&value)?;
        }
        settings.auth_secret = said("NIZHAL_AUTH_SECRET").map(Secret::new);
        settings.admin_password = said("NIZHAL_ADMIN_PASSWORD").map(Secret::new);
        if let Some(value) = said("NIZHAL_RATE_LIMIT") {
            settings.rate_limit = parse::rate_limit(&value)?;
        }
        if let Some(value) = said("NIZHAL_MAX_BODY_BYTES") {
            settings.max_body_bytes = parse::max_body_bytes(&value)?;
        }
        if let Some(value) = said("NIZHAL_CORS") {
            settings.cors = parse::cors(&value)?;
        }
        if let Some(value) = said("NIZHAL_DB_POOL") {
            settings.db_pool = parse::db_pool(&value)?;
        }
        if let Some(value) = said("NIZHAL_TOMBSTONE_DAYS") {
            settings.tombstone_days = parse::tombstone_days(&value)?;
        }
        if let Some(value) = said("NIZHAL_ALLOW_BREAKING") {
            settings.allow_breaking = parse::switch("NIZHAL_ALLOW_BREAKING", &value)?;
        }
        if let Some(value) = said("NIZHAL_JOB_WORKERS") {
            settings.job_workers = parse::job_workers(&value)?;
        }
        Ok(settings)
    }

    /// Reads the process environment.
    ///
    /// # Errors
    /// As for [`from_lookup`](Self::from_lookup).
    pub fn from_env(app: &str) -> Result<Self, SettingsError> {
        Self::from_lookup(app, |name| std::env::var(name).ok())
    }

    /// The secret that signs tokens: the given one, or in development one made for this run.
    ///
    /// # Errors
    /// In production, when the secret is absent or shorter than 32 bytes.
    pub fn signing_secret(&self) -> Result<Signing, SettingsError> {
        match (&self.auth_secret, self.mode) {
            (None, Mode::Production) => Err(SettingsError::SecretMissing),
            (None, Mode::Development) => Ok(Signing { secret: Secret::random(), made_here: true }),
            (Some(secret), Mode::Production) if secret.bytes().len() < MIN_SECRET_BYTES => {
                Err(SettingsError::SecretShort { bytes: secret.bytes().len(), least: MIN_SECRET_BYTES })
            }
            (Some(secret), _) => Ok(Signing { secret: secret.clone(), made_here: false }),
        }
    }

    /// The database's URL without its password, for people.
    pub fn database_for_people(&self) -> String {
        parse::without_password(&self.database_url)
    }
}

/// The secret that signs tokens, and where it came from.
#[derive(Clone, Debug)]
pub struct Signing {
    /// The secret.
    pub secret: Secret,
    /// Whether it was made for this run and ends with it.
    pub made_here: bool,
}

#[cfg(test)]
mod tests;
