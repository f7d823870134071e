//! Settings: what the environment and the builder say, parsed once at the door.

mod admission;
mod blob;
mod connection;
mod error;
mod image;
mod parse;
mod realtime;
mod secret;
mod storage;
mod unknown;
mod url;
mod value;

pub use admission::AdmissionSettings;
pub use blob::{BlobSettings, BlobStoreSetting, BlobStoreUrl, MimePattern};
pub use connection::ConnectionSettings;
pub use error::SettingsError;
pub use image::ImageSettings;
pub use realtime::{NatsSettings, Realtime, RealtimeSettings, SocketSettings};
pub use secret::Secret;
pub(crate) use storage::MIN_ROW_LIMIT_BYTES;
pub use storage::StorageSettings;
pub use url::DatabaseUrl;
pub(crate) use url::without_password;
pub use value::{Cors, JwksSource, LogFormat, MAX_BUCKETS, Mode, RateLimit};

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

/// Everything that differs between two runs of the same app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `DATABASE_URL`: `postgres://…`, `sqlite://path` or `sqlite::memory:`; a SQLite file beside the app by default.
    pub database_url: DatabaseUrl,
    /// `HOST`: the address to listen on; 127.0.0.1 by default.
    pub host: String,
    /// `PORT`: 4000 by default; 0 takes any free one.
    pub port: u16,
    /// `NIZHAL_ENV`.
    pub mode: Mode,
    /// `NIZHAL_AUTH_SECRET`: signs and verifies tokens, unless `NIZHAL_JWKS` does.
    pub auth_secret: Option<Secret>,
    /// `NIZHAL_ADMIN_PASSWORD`: opens `/nizhal/stats`, `/nizhal/audit` and `/metrics`.
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
    /// `NIZHAL_AUDIT_DAYS`: how long audit entries are kept; 90 by default, 0 for ever, `None` is `off`: none are written.
    pub audit_days: Option<u32>,
    /// `NIZHAL_AUDIT_ARGS`: whether audit entries keep the arguments, which may be personal; off by default.
    pub audit_args: bool,
    /// `NIZHAL_MAX_BUCKETS`: the most buckets one actor may hold; 10,000 by default.
    pub max_buckets: usize,
    /// `NIZHAL_METRICS`: whether `/metrics` is open to everybody; to the admin alone by default.
    pub metrics_open: bool,
    /// `NIZHAL_LOG_FORMAT`: how events are logged; `text` by default. It is read before anything is logged, so no builder overrides it.
    pub log_format: LogFormat,
    /// `NIZHAL_JWKS`: where the keys are that verify tokens, a file or a URL; without it tokens are HS256.
    pub jwks: Option<JwksSource>,
    /// `NIZHAL_JWKS_CA`: the certificates of the authority that the keys' server is trusted by, in place of the web's usual ones.
    pub jwks_ca: Option<PathBuf>,
    /// `NIZHAL_JWT_AUDIENCE`: tokens must be for one of these; for anybody when there are none.
    pub jwt_audience: Vec<String>,
    /// `NIZHAL_JWT_ISSUER`: who must have issued tokens.
    pub jwt_issuer: Option<String>,
    /// `NIZHAL_JOB_WORKERS`: how many jobs this process runs at a time; 2 by default, 0 for none. One at most on SQLite.
    pub job_workers: u32,
    /// How servers hear of each other.
    pub realtime: RealtimeSettings,
    /// Limits of WebSockets.
    pub sockets: SocketSettings,
    /// Limits of connections.
    pub connections: ConnectionSettings,
    /// What one actor, and all together, may hold at a time.
    pub admission: AdmissionSettings,
    /// What may be stored.
    pub storage: StorageSettings,
    /// The place and the limits of blobs.
    pub blobs: BlobSettings,
    /// The limits of images.
    pub images: ImageSettings,
}

/// The shortest secret that signs tokens, in bytes: the length of an HS256 digest (RFC 7518, section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The shortest password of the admin, in bytes.
const MIN_PASSWORD_BYTES: usize = 16;

impl Settings {
    /// The settings of an app when nothing is said.
    pub fn defaults(app: &str) -> Self {
        Self {
            database_url: format!("sqlite://{app}.db").into(),
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
            audit_days: Some(90),
            audit_args: false,
            max_buckets: MAX_BUCKETS,
            metrics_open: false,
            log_format: LogFormat::Text,
            jwks: None,
            jwks_ca: None,
            jwt_audience: Vec::new(),
            jwt_issuer: None,
            realtime: RealtimeSettings::default(),
            sockets: SocketSettings::default(),
            connections: ConnectionSettings::default(),
            admission: AdmissionSettings::default(),
            storage: StorageSettings::default(),
            blobs: BlobSettings::default(),
            images: ImageSettings::default(),
        }
    }

    /// Reads every variable through `lookup`; an empty one counts as unset.
    ///
    /// # Errors
    /// [`SettingsError`] at the first value that cannot be used.
    pub fn from_lookup(app: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::defaults(app);
        let variable = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        if let Some(value) = variable("DATABASE_URL") {
            settings.database_url = parse::database_url(&value)?;
        }
        if let Some(value) = variable("HOST") {
            settings.host = parse::host(&value)?;
        }
        if let Some(value) = variable("PORT") {
            settings.port = parse::number("PORT", &value, "a number from 0 to 65535, such as 4000")?;
        }
        if let Some(value) = variable("NIZHAL_ENV") {
            settings.mode = parse::mode(&value)?;
        }
        settings.auth_secret = variable("NIZHAL_AUTH_SECRET").map(Secret::new);
        settings.admin_password = variable("NIZHAL_ADMIN_PASSWORD").map(Secret::new);
        if let Some(value) = variable("NIZHAL_RATE_LIMIT") {
            settings.rate_limit = parse::rate_limit(&value)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_BODY_BYTES") {
            settings.max_body_bytes = parse::max_body_bytes(&value)?;
        }
        if let Some(value) = variable("NIZHAL_CORS") {
            settings.cors = parse::cors(&value)?;
        }
        if let Some(value) = variable("NIZHAL_DB_POOL") {
            settings.db_pool = parse::db_pool(&value)?;
        }
        if let Some(value) = variable("NIZHAL_TOMBSTONE_DAYS") {
            settings.tombstone_days = parse::tombstone_days(&value)?;
        }
        if let Some(value) = variable("NIZHAL_ALLOW_BREAKING") {
            settings.allow_breaking = parse::switch("NIZHAL_ALLOW_BREAKING", &value)?;
        }
        if let Some(value) = variable("NIZHAL_JOB_WORKERS") {
            settings.job_workers = parse::job_workers(&value)?;
        }
        if let Some(value) = variable("NIZHAL_AUDIT_DAYS") {
            settings.audit_days = parse::audit_days(&value)?;
        }
        if let Some(value) = variable("NIZHAL_AUDIT_ARGS") {
            settings.audit_args = parse::switch("NIZHAL_AUDIT_ARGS", &value)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_BUCKETS") {
            settings.max_buckets = parse::max_buckets(&value)?;
        }
        if let Some(value) = variable("NIZHAL_METRICS") {
            settings.metrics_open = parse::metrics(&value)?;
        }
        if let Some(value) = variable(LogFormat::VARIABLE) {
            settings.log_format = parse::log_format(&value)?;
        }
        if let Some(value) = variable("NIZHAL_JWKS") {
            settings.jwks = Some(parse::jwks(&value)?);
        }
        settings.jwks_ca = variable("NIZHAL_JWKS_CA").map(|path| path.trim().into());
        if let Some(value) = variable("NIZHAL_JWT_AUDIENCE") {
            settings.jwt_audience = parse::audience(&value)?;
        }
        settings.realtime = RealtimeSettings::read(variable)?;
        settings.sockets = SocketSettings::read(variable)?;
        settings.connections = ConnectionSettings::read(variable)?;
        settings.admission = AdmissionSettings::read(variable)?;
        settings.storage = StorageSettings::read(variable)?;
        settings.blobs = BlobSettings::read(variable)?;
        settings.images = ImageSettings::read(variable)?;
        settings.jwt_issuer = variable("NIZHAL_JWT_ISSUER").map(|issuer| issuer.trim().to_owned());
        Ok(settings)
    }

    /// Reads the process environment.
    ///
    /// # Errors
    /// As for [`from_lookup`](Self::from_lookup).
    pub fn from_env(app: &str) -> Result<Self, SettingsError> {
        let known = unknown::KnownNames::default();
        let settings = Self::from_lookup(app, |name| {
            known.add(name);
            std::env::var(name).ok()
        })?;
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in known.unknown(names) {
            tracing::warn!(name, "the variable is no setting of Nizhal and changes nothing: look for a misspelling");
        }
        Ok(settings)
    }

    /// The format of the log that the environment names. A name that is none of ours stops the start later, and is logged as text.
    pub(crate) fn log_format_from_env() -> LogFormat {
        std::env::var(LogFormat::VARIABLE).ok().and_then(|value| parse::log_format(&value).ok()).unwrap_or_default()
    }

    /// Refuses secrets that can be guessed, wherever the settings came from.
    ///
    /// # Errors
    /// When a secret is shorter than its least length.
    pub fn check(&self) -> Result<(), SettingsError> {
        let short = |name, secret: &Option<Secret>, least| match secret {
            Some(secret) if secret.bytes().len() < least => {
                Err(SettingsError::SecretShort { name, bytes: secret.bytes().len(), least })
            }
            _ => Ok(()),
        };
        short("NIZHAL_AUTH_SECRET", &self.auth_secret, MIN_SECRET_BYTES)?;
        short("NIZHAL_ADMIN_PASSWORD", &self.admin_password, MIN_PASSWORD_BYTES)
    }

    /// Refuses to serve a development start to other machines: it provisions, seeds, and prints tokens.
    ///
    /// # Errors
    /// When the mode is development and `HOST` is no loopback address.
    pub fn check_listener(&self) -> Result<(), SettingsError> {
        let is_loopback = match self.host.parse::<std::net::IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        };
        if self.mode == Mode::Development && !is_loopback {
            return Err(SettingsError::DevelopmentInTheOpen { host: self.host.clone() });
        }
        Ok(())
    }

    /// The secret that signs tokens: the given one, or in development one made for this run.
    ///
    /// # Errors
    /// In production, when the secret is absent.
    pub fn signing_secret(&self) -> Result<Signing, SettingsError> {
        match (&self.auth_secret, self.mode) {
            (None, Mode::Production) => Err(SettingsError::SecretMissing),
            (None, Mode::Development) => Ok(Signing { secret: Secret::random(), made_here: true }),
            (Some(secret), _) => Ok(Signing { secret: secret.clone(), made_here: false }),
        }
    }

    /// Where the public keys are that verify tokens, if tokens are not signed with the secret.
    ///
    /// # Errors
    /// When both are given: one of them would be believed without need.
    pub fn jwks(&self) -> Result<Option<&JwksSource>, SettingsError> {
        if self.jwks.is_some() && self.auth_secret.is_some() {
            return Err(SettingsError::TwoSigners);
        }
        Ok(self.jwks.as_ref())
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
