//! Settings of sockets, and of how servers hear of each other.

use super::{DatabaseUrl, SettingsError, parse, url::without_password};
use std::{fmt, num::NonZeroU32, path::PathBuf, time::Duration};

/// How servers of one app hear of each other's commits and presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Realtime {
    /// There is one server.
    Local,
    /// LISTEN and NOTIFY on the app's Postgres.
    Postgres,
    /// A NATS server or cluster.
    Nats,
}

/// How servers hear of each other.
#[derive(Clone, Debug)]
pub struct RealtimeSettings {
    /// `NIZHAL_REALTIME`: `postgres` by default on Postgres, `local` on SQLite.
    pub mode: Option<Realtime>,
    /// `NIZHAL_LISTEN_URL`: where Postgres can be listened to, when `DATABASE_URL` leads to a pooler.
    pub listen_url: Option<DatabaseUrl>,
    /// Where NATS is.
    pub nats: NatsSettings,
    /// `NIZHAL_PRESENCE_SILENCE`: how long a presence entry lives without a heartbeat; `30s` by default.
    pub presence_silence: Duration,
    /// `NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR`: the most that one actor may show, all its sockets and buckets together; 256 KiB by
    /// default.
    pub max_presence_bytes_per_actor: usize,
    /// `NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET`: the most that may be shown in one bucket, all of which is sent to whoever comes; 1 MiB by
    /// default.
    pub max_presence_bytes_per_bucket: usize,
    /// `NIZHAL_PUBLIC_PRESENCE`: whether presence in the buckets of `public` rules, which every tenant hears, is shown; `off` by default.
    pub public_presence: bool,
    /// `NIZHAL_SERVER_SILENCE`: how long another server may be silent before its presence is forgotten; `10s` by default.
    pub server_silence: Duration,
}

/// Where NATS is, and how to get in.
#[derive(Clone)]
pub struct NatsSettings {
    /// `NIZHAL_NATS_URL`: `nats://` or `tls://`, with user and password or a token, several with commas between.
    pub url: String,
    /// `NIZHAL_NATS_CREDENTIALS`: a `.creds` file.
    pub credentials: Option<PathBuf>,
    /// `NIZHAL_NATS_CA`: the certificates of the authority to trust; demands TLS.
    pub ca: Option<PathBuf>,
    /// `NIZHAL_NATS_SUBJECT`: what the subject begins with; `nizhal` by default.
    pub subject: String,
}

/// Limits of WebSockets.
#[derive(Clone, Debug)]
pub struct SocketSettings {
    /// `NIZHAL_MAX_SOCKETS_PER_ACTOR`: 100 by default.
    pub max_per_actor: u32,
    /// `NIZHAL_SOCKET_FRAMES_PER_SECOND`: frames that a client may send; 50 by default, in bursts of as many again.
    pub frames_per_second: NonZeroU32,
    /// `NIZHAL_MAX_FRAME_BYTES`: the largest frame a client may send; 65,536 by default.
    pub max_frame_bytes: usize,
    /// `NIZHAL_SOCKET_IDLE`: how long a peer may be silent, though it is pinged; `60s` by default.
    pub idle: Duration,
    /// `NIZHAL_SOCKET_SEND_TIME`: how long one frame may wait for a slow reader; `10s` by default.
    pub send_time: Duration,
}

impl Default for RealtimeSettings {
    fn default() -> Self {
        Self {
            mode: None,
            listen_url: None,
            nats: NatsSettings {
                url: "nats://127.0.0.1:4222".to_owned(),
                credentials: None,
                ca: None,
                subject: "nizhal".to_owned(),
            },
            presence_silence: Duration::from_secs(30),
            public_presence: false,
            max_presence_bytes_per_actor: 256 * 1024,
            max_presence_bytes_per_bucket: 1024 * 1024,
            server_silence: Duration::from_secs(10),
        }
    }
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            max_per_actor: 100,
            frames_per_second: NonZeroU32::new(50).unwrap_or(NonZeroU32::MIN),
            max_frame_bytes: 64 * 1024,
            idle: Duration::from_secs(60),
            send_time: Duration::from_secs(10),
        }
    }
}

/// The URL may hold a password.
impl fmt::Debug for NatsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsSettings")
            .field("credentials", &self.credentials)
            .field("ca", &self.ca)
            .finish_non_exhaustive()
    }
}

impl RealtimeSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_REALTIME") {
            settings.mode = Some(mode(&value)?);
        }
        if let Some(value) = variable("NIZHAL_LISTEN_URL") {
            settings.listen_url = Some(listen_url(&value)?);
        }
        if let Some(value) = variable("NIZHAL_NATS_URL") {
            settings.nats.url = nats_url(&value)?;
        }
        settings.nats.credentials = variable("NIZHAL_NATS_CREDENTIALS").map(|path| path.trim().into());
        settings.nats.ca = variable("NIZHAL_NATS_CA").map(|path| path.trim().into());
        if let Some(value) = variable("NIZHAL_NATS_SUBJECT") {
            settings.nats.subject = subject(&value)?;
        }
        if let Some(value) = variable("NIZHAL_PRESENCE_SILENCE") {
            settings.presence_silence = parse::time("NIZHAL_PRESENCE_SILENCE", &value)?;
        }
        let bytes = "a number of bytes from 1024, such as 262144";
        if let Some(value) = variable("NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR") {
            let name = "NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR";
            settings.max_presence_bytes_per_actor = parse::at_least(name, &value, 1024, bytes)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET") {
            let name = "NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET";
            settings.max_presence_bytes_per_bucket = parse::at_least(name, &value, 1024, bytes)?;
        }
        if let Some(value) = variable("NIZHAL_PUBLIC_PRESENCE") {
            settings.public_presence = parse::switch("NIZHAL_PUBLIC_PRESENCE", &value)?;
        }
        if let Some(value) = variable("NIZHAL_SERVER_SILENCE") {
            settings.server_silence = parse::time("NIZHAL_SERVER_SILENCE", &value)?;
        }
        Ok(settings)
    }

    /// The mode on this database.
    ///
    /// # Errors
    /// When the database, or this build, does not have it.
    pub fn mode_on(&self, database_url: &str) -> Result<Realtime, SettingsError> {
        let is_postgres = !database_url.starts_with("sqlite");
        match self.mode {
            None => Ok(if is_postgres { Realtime::Postgres } else { Realtime::Local }),
            Some(Realtime::Postgres) if !is_postgres => Err(SettingsError::RealtimeWithoutPostgres),
            Some(Realtime::Nats) if !cfg!(feature = "nats") => Err(SettingsError::NoNats),
            Some(mode) => Ok(mode),
        }
    }
}

impl SocketSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_MAX_SOCKETS_PER_ACTOR") {
            let wanted = "a number of sockets from 1, such as 100";
            let most: NonZeroU32 = parse::number("NIZHAL_MAX_SOCKETS_PER_ACTOR", &value, wanted)?;
            settings.max_per_actor = most.get();
        }
        if let Some(value) = variable("NIZHAL_SOCKET_FRAMES_PER_SECOND") {
            let wanted = "a number of frames from 1, such as 50";
            settings.frames_per_second = parse::number("NIZHAL_SOCKET_FRAMES_PER_SECOND", &value, wanted)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_FRAME_BYTES") {
            settings.max_frame_bytes = max_frame_bytes(&value)?;
        }
        if let Some(value) = variable("NIZHAL_SOCKET_IDLE") {
            settings.idle = parse::time("NIZHAL_SOCKET_IDLE", &value)?;
        }
        if let Some(value) = variable("NIZHAL_SOCKET_SEND_TIME") {
            settings.send_time = parse::time("NIZHAL_SOCKET_SEND_TIME", &value)?;
        }
        Ok(settings)
    }
}

fn mode(value: &str) -> Result<Realtime, SettingsError> {
    match value.trim() {
        "local" => Ok(Realtime::Local),
        "postgres" => Ok(Realtime::Postgres),
        "nats" => Ok(Realtime::Nats),
        _ => Err(parse::invalid("NIZHAL_REALTIME", value, "`local`, `postgres` or `nats`")),
    }
}

fn listen_url(value: &str) -> Result<DatabaseUrl, SettingsError> {
    let url = value.trim();
    let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
    if rest.is_none_or(str::is_empty) {
        let wanted =
            "the URL of the same Postgres as DATABASE_URL, past the pooler: `postgres://user:password@host/database`";
        return Err(parse::invalid("NIZHAL_LISTEN_URL", &without_password(url), wanted));
    }
    Ok(url.into())
}

fn nats_url(value: &str) -> Result<String, SettingsError> {
    let is_address = |url: &str| {
        let rest = url.trim().strip_prefix("nats://").or_else(|| url.trim().strip_prefix("tls://"));
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains([' ', '/']))
    };
    if !value.split(',').all(is_address) {
        let wanted = "`nats://host:4222`, or `tls://user:password@host:4222`; several with commas between";
        return Err(parse::invalid("NIZHAL_NATS_URL", &without_password(value), wanted));
    }
    Ok(value.trim().to_owned())
}

fn subject(value: &str) -> Result<String, SettingsError> {
    let subject = value.trim();
    let is_token =
        |token: &str| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>".contains(&byte));
    if !subject.split('.').all(is_token) {
        return Err(parse::invalid(
            "NIZHAL_NATS_SUBJECT",
            value,
            "a subject without wildcards, such as `nizhal.production`",
        ));
    }
    Ok(subject.to_owned())
}

fn max_frame_bytes(value: &str) -> Result<usize, SettingsError> {
    const WANTED: &str = "a number of bytes from 1024 to 16777216, such as 65536";
    let bytes: usize = parse::number("NIZHAL_MAX_FRAME_BYTES", value, WANTED)?;
    if !(1024..=16 * 1024 * 1024).contains(&bytes) {
        return Err(parse::invalid("NIZHAL_MAX_FRAME_BYTES", value, WANTED));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<RealtimeSettings, SettingsError> {
        RealtimeSettings::read(move |requested| (requested == name).then(|| value.to_owned()))
    }

    fn read_sockets(name: &'static str, value: &'static str) -> Result<SocketSettings, SettingsError> {
        SocketSettings::read(move |requested| (requested == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_REALTIME", "nats").unwrap().mode, Some(Realtime::Nats));
        assert_eq!(read("NIZHAL_PRESENCE_SILENCE", "500ms").unwrap().presence_silence, Duration::from_millis(500));
        assert_eq!(read("NIZHAL_SERVER_SILENCE", "2s").unwrap().server_silence, Duration::from_secs(2));
        assert_eq!(read("NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR", "2000").unwrap().max_presence_bytes_per_actor, 2_000);
        assert_eq!(read("NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET", "3000").unwrap().max_presence_bytes_per_bucket, 3_000);
        assert_eq!(read("NIZHAL_NATS_URL", "tls://u:p@h:1,tls://i").unwrap().nats.url, "tls://u:p@h:1,tls://i");
        assert_eq!(read_sockets("NIZHAL_MAX_SOCKETS_PER_ACTOR", "7").unwrap().max_per_actor, 7);
        assert_eq!(read_sockets("NIZHAL_MAX_FRAME_BYTES", "1024").unwrap().max_frame_bytes, 1024);
        assert_eq!(read_sockets("NIZHAL_SOCKET_SEND_TIME", "1s").unwrap().send_time, Duration::from_secs(1));
    }

    #[test]
    fn what_cannot_be_used_is_named_without_its_password() {
        for (name, value) in [
            ("NIZHAL_REALTIME", "redis"),
            ("NIZHAL_LISTEN_URL", "sqlite://u:hunter2@x"),
            ("NIZHAL_NATS_URL", "http://u:hunter2@h"),
            ("NIZHAL_NATS_URL", "nats://h,"),
            ("NIZHAL_NATS_SUBJECT", "a.*"),
            ("NIZHAL_NATS_SUBJECT", "a..b"),
            ("NIZHAL_PRESENCE_SILENCE", "0s"),
            ("NIZHAL_SERVER_SILENCE", "10"),
            ("NIZHAL_MAX_PRESENCE_BYTES_PER_ACTOR", "10"),
            ("NIZHAL_MAX_PRESENCE_BYTES_PER_BUCKET", "many"),
        ] {
            let text = read(name, value).unwrap_err().to_string();
            assert!(text.contains(name) && !text.contains("hunter2"), "{text}");
        }
        for (name, value) in [
            ("NIZHAL_MAX_SOCKETS_PER_ACTOR", "0"),
            ("NIZHAL_SOCKET_FRAMES_PER_SECOND", "0"),
            ("NIZHAL_MAX_FRAME_BYTES", "9"),
            ("NIZHAL_SOCKET_IDLE", "-1s"),
        ] {
            assert!(read_sockets(name, value).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn the_database_decides_what_is_not_said() {
        let on = |mode, url| RealtimeSettings { mode, ..RealtimeSettings::default() }.mode_on(url);
        assert_eq!(on(None, "postgres://x"), Ok(Realtime::Postgres));
        assert_eq!(on(None, "sqlite::memory:"), Ok(Realtime::Local));
        assert_eq!(on(Some(Realtime::Local), "postgres://x"), Ok(Realtime::Local));
        assert_eq!(on(Some(Realtime::Postgres), "sqlite://x"), Err(SettingsError::RealtimeWithoutPostgres));
    }
}
