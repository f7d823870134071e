//! Settings of storage: how large a row may be.

use super::{SettingsError, parse};

/// What may be stored.
#[derive(Clone, Debug)]
pub struct StorageSettings {
    /// `NIZHAL_MAX_ROW_BYTES`: the largest row that a mutation may leave, as JSON; 4 MiB by default, which is a page of a pull.
    pub max_row_bytes: usize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self { max_row_bytes: 4 * 1024 * 1024 }
    }
}

/// Smaller rows are not measured.
pub(crate) const MIN_ROW_LIMIT_BYTES: usize = 64 * 1024;

impl StorageSettings {
    pub(super) fn read(said: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = said("NIZHAL_MAX_ROW_BYTES") {
            let bytes = "a number of bytes from 65536, such as 4194304";
            settings.max_row_bytes = parse::at_least("NIZHAL_MAX_ROW_BYTES", &value, MIN_ROW_LIMIT_BYTES, bytes)?;
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<StorageSettings, SettingsError> {
        StorageSettings::read(move |asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("NIZHAL_MAX_ROW_BYTES", "65536").unwrap().max_row_bytes, 65_536);
        for (name, value) in [("NIZHAL_MAX_ROW_BYTES", "65535"), ("NIZHAL_MAX_ROW_BYTES", "much")] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
