//! Settings of connections: how long one may hold a request's body back, and how many one peer may have.

use super::{SettingsError, parse};
use std::{num::NonZeroU32, time::Duration};

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// `NIZHAL_BODY_TIME`: how long a request's body may keep the server waiting; `15s` by default, and a second more for each KiB
    /// that came.
    pub body_time: Duration,
    /// `NIZHAL_MAX_CONNECTIONS_PER_PEER`: the most connections from one address; 10,000 by default, `None` is `off`.
    pub max_per_peer: Option<NonZeroU32>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        // A proxy in front of the server is one peer.
        Self { body_time: Duration::from_secs(15), max_per_peer: NonZeroU32::new(10_000) }
    }
}

impl ConnectionSettings {
    pub(super) fn read(said: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = said("NIZHAL_BODY_TIME") {
            settings.body_time = parse::time("NIZHAL_BODY_TIME", &value)?;
        }
        if let Some(value) = said("NIZHAL_MAX_CONNECTIONS_PER_PEER") {
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
        ConnectionSettings::read(move |asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_BODY_TIME", "500ms").unwrap().body_time, Duration::from_millis(500));
        assert_eq!(read("NIZHAL_MAX_CONNECTIONS_PER_PEER", "7").unwrap().max_per_peer, NonZeroU32::new(7));
        assert_eq!(read("NIZHAL_MAX_CONNECTIONS_PER_PEER", "off").unwrap().max_per_peer, None);
        for (name, value) in [
            ("NIZHAL_BODY_TIME", "0s"),
            ("NIZHAL_BODY_TIME", "long"),
            ("NIZHAL_MAX_CONNECTIONS_PER_PEER", "0"),
            ("NIZHAL_MAX_CONNECTIONS_PER_PEER", "many"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
