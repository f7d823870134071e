//! Settings of admission: what one actor, and all together, may hold at a time.

use super::{SettingsError, parse};

/// The limits of what one actor, and all together, hold at a time.
#[derive(Clone, Debug)]
pub struct AdmissionSettings {
    /// `NIZHAL_MAX_REQUESTS_PER_ACTOR`: pulls and pushes in flight, until their answer is sent; 100 by default.
    pub max_requests_per_actor: u32,
    /// `NIZHAL_MAX_REQUESTS`: the same of all actors; 10,000 by default.
    pub max_requests: u32,
    /// `NIZHAL_MAX_BYTES_PER_ACTOR`: bytes of bodies that are worked on and of answers and frames that wait to be sent; 32 MiB by
    /// default.
    pub max_bytes_per_actor: usize,
    /// `NIZHAL_MAX_BYTES`: the same of all actors; 256 MiB by default. An actor never holds more than is left of it.
    pub max_bytes: usize,
}

impl Default for AdmissionSettings {
    fn default() -> Self {
        Self {
            max_requests_per_actor: 100,
            max_requests: 10_000,
            max_bytes_per_actor: 32 * 1024 * 1024,
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

impl AdmissionSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        let requests = "a number of requests from 1, such as 100";
        if let Some(value) = variable("NIZHAL_MAX_REQUESTS_PER_ACTOR") {
            settings.max_requests_per_actor = parse::at_least("NIZHAL_MAX_REQUESTS_PER_ACTOR", &value, 1, requests)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_REQUESTS") {
            settings.max_requests = parse::at_least("NIZHAL_MAX_REQUESTS", &value, 1, requests)?;
        }
        let bytes = "a number of bytes from 1048576, such as 33554432";
        if let Some(value) = variable("NIZHAL_MAX_BYTES_PER_ACTOR") {
            settings.max_bytes_per_actor = parse::at_least("NIZHAL_MAX_BYTES_PER_ACTOR", &value, 1024 * 1024, bytes)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_BYTES") {
            settings.max_bytes = parse::at_least("NIZHAL_MAX_BYTES", &value, 1024 * 1024, bytes)?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<AdmissionSettings, SettingsError> {
        AdmissionSettings::read(move |requested| (requested == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_MAX_REQUESTS_PER_ACTOR", "7").unwrap().max_requests_per_actor, 7);
        assert_eq!(read("NIZHAL_MAX_REQUESTS", "9").unwrap().max_requests, 9);
        assert_eq!(read("NIZHAL_MAX_BYTES_PER_ACTOR", "2000000").unwrap().max_bytes_per_actor, 2_000_000);
        assert_eq!(read("NIZHAL_MAX_BYTES", "3000000").unwrap().max_bytes, 3_000_000);
        for (name, value) in [
            ("NIZHAL_MAX_REQUESTS_PER_ACTOR", "0"),
            ("NIZHAL_MAX_REQUESTS", "many"),
            ("NIZHAL_MAX_BYTES_PER_ACTOR", "1000"),
            ("NIZHAL_MAX_BYTES", "-1"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
