//! Settings of storage: how large a row may be, and how much of one actor's is kept.

use super::{SettingsError, parse};
use nizhal_core::limits::MAX_MUTATIONS;

/// The limits of what is stored.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `NIZHAL_MAX_ROW_BYTES`: the largest row that a mutation may leave, as JSON; 4 MiB by default, which is a page of a pull.
    pub max_row_bytes: usize,
    /// `NIZHAL_MAX_CLIENTS_PER_ACTOR`: the most `clientID`s of one actor; 10,000 by default.
    pub max_clients_per_actor: u32,
    /// `NIZHAL_MAX_ANSWERS_PER_ACTOR`: the most stored answers to mutations of one actor; 100,000 by default.
    pub max_answers_per_actor: u64,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { max_row_bytes: 4 * 1024 * 1024, max_clients_per_actor: 10_000, max_answers_per_actor: 100_000 }
    }
}

/// Smaller rows are not measured.
pub(crate) const MIN_ROW_LIMIT_BYTES: usize = 64 * 1024;

impl StorageSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_MAX_ROW_BYTES") {
            let bytes = "a number of bytes from 65536, such as 4194304";
            settings.max_row_bytes = parse::at_least("NIZHAL_MAX_ROW_BYTES", &value, MIN_ROW_LIMIT_BYTES, bytes)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_CLIENTS_PER_ACTOR") {
            let clients = "a number of clients from 1, such as 10000";
            settings.max_clients_per_actor = parse::at_least("NIZHAL_MAX_CLIENTS_PER_ACTOR", &value, 1, clients)?;
        }
        if let Some(value) = variable("NIZHAL_MAX_ANSWERS_PER_ACTOR") {
            let answers = "a number of answers from 1000, such as 100000";
            let least = MAX_MUTATIONS as u64;
            settings.max_answers_per_actor = parse::at_least("NIZHAL_MAX_ANSWERS_PER_ACTOR", &value, least, answers)?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<StorageSettings, SettingsError> {
        StorageSettings::read(move |requested| (requested == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_MAX_ROW_BYTES", "65536").unwrap().max_row_bytes, 65_536);
        assert_eq!(read("NIZHAL_MAX_CLIENTS_PER_ACTOR", "1").unwrap().max_clients_per_actor, 1);
        assert_eq!(read("NIZHAL_MAX_ANSWERS_PER_ACTOR", "1000").unwrap().max_answers_per_actor, 1_000);
        for (name, value) in [
            ("NIZHAL_MAX_ROW_BYTES", "65535"),
            ("NIZHAL_MAX_ROW_BYTES", "much"),
            ("NIZHAL_MAX_CLIENTS_PER_ACTOR", "0"),
            ("NIZHAL_MAX_ANSWERS_PER_ACTOR", "999"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
