//! Settings of images: from how many rows on a bucket gets one.

use super::{SettingsError, parse};

/// The limits of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSettings {
    /// `NIZHAL_IMAGE_MIN_ROWS`: the least rows of a bucket that gets an image; 5,000 by default, `None` is `off`.
    pub min_rows: Option<u32>,
}

impl Default for ImageSettings {
    fn default() -> Self {
        Self { min_rows: Some(5_000) }
    }
}

impl ImageSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_IMAGE_MIN_ROWS") {
            let wanted = "a number of rows from 1, such as 5000, or `off`";
            settings.min_rows = match value.trim() {
                "off" => None,
                value => Some(parse::at_least("NIZHAL_IMAGE_MIN_ROWS", value, 1, wanted)?),
            };
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Result<ImageSettings, SettingsError> {
        ImageSettings::read(move |name| (name == "NIZHAL_IMAGE_MIN_ROWS").then(|| value.to_owned()))
    }

    #[test]
    fn what_is_said_is_read() {
        assert_eq!(read("1").unwrap().min_rows, Some(1));
        assert_eq!(read("off").unwrap().min_rows, None);
        for value in ["0", "-1", "many"] {
            assert!(read(value).unwrap_err().to_string().contains("NIZHAL_IMAGE_MIN_ROWS"), "{value}");
        }
    }
}
