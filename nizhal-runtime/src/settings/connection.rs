//! Settings of connections: how long one may hold a request's body back, and how many one peer may have.

use super::{SettingsError, parse};
use std::{num::NonZeroU32, time::Duration};

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// `NIZHAL_BODY_TIME`: how long a request's body, or a frame of a socket, may keep the server waiting; `15s` by default, beside
    /// what its bytes earn at the least speed.
    pub body_time: Duration,
    /// `NIZHAL_SEND_TIME`: how long what is sent may wait for its reader, beside what its bytes earn at the least speed; `60s` by
    /// default.
    pub send_time: Duration,
    /// `NIZHAL_MIN_BYTES_PER_SECOND`: the least speed of whoever sends or reads; each so many bytes earn a second more. 1,024 by
    /// default.
    pub min_bytes_per_second: NonZeroU32,
    /// `NIZHAL_MAX_CONNECTIONS_PER_PEER`: the most connections from one address; 10,000 by default, `None` is `off`.
    pub max_per_peer: Option<NonZeroU32>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        // A proxy in front of the server is one peer.
        Self {
            body_time: Duration::from_secs(15),
            send_time: Duration::from_secs(60),
            min_bytes_per_second: NonZeroU32::new(1024).unwrap_or(NonZeroU32::MIN),
            max_per_peer: NonZeroU32::new(10_000),
        }
    }
}

impl ConnectionSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_BODY_TIME") {
            settings.body_time = parse::time("NIZHAL_BODY_TIME", &value)?;
        }
        if let Some(value) = variable("NIZHAL_SEND_TIME") {
            settings.send_time = parse::time("NIZHAL_SEND_TIME", &value)?;
        }
        if let Some(value) = variable("NIZHAL_MIN_BYTES_PER_SECOND") {
            let wanted = "a number of bytes from 1, such as 1024";
            settings.min_bytes_per_second = parse::number("NIZHAL_MIN_BYTES_PER_SECOND", &value, wanted)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_CONNECTIONS_PER_PEER") {
            let wanted = "a number of connections from 1, such as 10000, or `off`";
            settings.max_per_peer = match value.trim() {
                "off" => None,
                value => Some(parse::number("NIZHAL_MAX_CONNECTIONS_PER_PEER", value, wanted)?),
            };
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<ConnectionSettings, SettingsError> {
        ConnectionSettings::read(move |requested| (requested == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_BODY_TIME", "500ms").unwrap().body_time, Duration::from_millis(500));
        assert_eq!(read("NIZHAL_SEND_TIME", "2s").unwrap().send_time, Duration::from_secs(2));
        assert_eq!(read("NIZHAL_MIN_BYTES_PER_SECOND", "9").unwrap().min_bytes_per_second.get(), 9);
        assert_eq!(read("NIZHAL_MAX_CONNECTIONS_PER_PEER", "7").unwrap().max_per_peer, NonZeroU32::new(7));
        assert_eq!(read("NIZHAL_MAX_CONNECTIONS_PER_PEER", "off").unwrap().max_per_peer, None);
        for (name, value) in [
            ("NIZHAL_BODY_TIME", "0s"),
            ("NIZHAL_BODY_TIME", "long"),
            ("NIZHAL_MIN_BYTES_PER_SECOND", "0"),
            ("NIZHAL_MAX_CONNECTIONS_PER_PEER", "0"),
            ("NIZHAL_MAX_CONNECTIONS_PER_PEER", "many"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
