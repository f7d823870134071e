//! Settings of blobs: where their bytes are kept, which ones are taken, and how long one that no row names is kept.

use super::{DatabaseUrl, Mode, SettingsError, parse};
use std::{fmt, path::PathBuf, str::FromStr};

/// The place and the limits of blobs.
#[derive(Clone, Debug)]
pub struct BlobSettings {
    /// `NIZHAL_BLOBS`: where the bytes are; beside a SQLite file in development, and nowhere otherwise.
    pub store: BlobStoreSetting,
    /// `NIZHAL_BLOB_MAX_BYTES`: the largest blob; 100 MiB by default.
    pub max_bytes: u64,
    /// `NIZHAL_BLOB_MIMES`: the media types that are taken; all when there are none.
    pub mimes: Vec<MimePattern>,
    /// `NIZHAL_BLOB_MAX_BYTES_PER_ACTOR`: the most bytes that one actor may declare for uploads within a day; 2 GiB by default.
    pub max_bytes_per_actor: u64,
    /// `NIZHAL_BLOB_MAX_BYTES_PER_BUCKET`: the same for each bucket; then each upload must name one. No limit by default.
    pub max_bytes_per_bucket: Option<u64>,
    /// `NIZHAL_BLOB_GRACE_DAYS`: how long a blob is kept that no row names; 30 by default, and at least as long as deletes are remembered.
    pub grace_days: u32,
}

/// Whether there is a blob store, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BlobStoreSetting {
    /// Nothing was said: beside a SQLite file in development, and nowhere otherwise.
    #[default]
    Unset,
    /// None.
    Off,
    /// This one.
    At(BlobStoreUrl),
}

/// The URL of a blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobStoreUrl {
    /// `file://…`: a folder, which is made where it is absent.
    File(PathBuf),
    /// `s3://bucket/prefix`.
    S3(String),
    /// `gs://bucket/prefix`.
    Gcs(String),
    /// `az://container/prefix`.
    Azure(String),
}

impl fmt::Display for BlobStoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{}", path.display()),
            Self::S3(url) | Self::Gcs(url) | Self::Azure(url) => f.write_str(url),
        }
    }
}

/// A media type, or all of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MimePattern(String);

impl MimePattern {
    /// Whether a media type is of this pattern; case does not matter.
    pub fn matches(&self, mime: &str) -> bool {
        let mime = mime.to_ascii_lowercase();
        match self.0.strip_suffix('*') {
            Some(kind) => mime.starts_with(kind),
            None => mime == self.0,
        }
    }
}

impl FromStr for MimePattern {
    type Err = SettingsError;

    /// Reads `type/subtype` or `type/*`.
    ///
    /// # Errors
    /// When the text is neither.
    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let pattern = text.trim().to_ascii_lowercase();
        let named = pattern.strip_suffix("/*").map_or(pattern.clone(), |kind| format!("{kind}/any"));
        let wanted = "media types with commas between them, such as `image/*,application/pdf`";
        let wrong = |_| parse::invalid("NIZHAL_BLOB_MIMES", text, wanted);
        named.parse::<nizhal_core::Mime>().map(|_| Self(pattern)).map_err(wrong)
    }
}

impl Default for BlobSettings {
    fn default() -> Self {
        Self {
            store: BlobStoreSetting::Unset,
            max_bytes: 100 * 1024 * 1024,
            mimes: Vec::new(),
            max_bytes_per_actor: 2 * 1024 * 1024 * 1024,
            max_bytes_per_bucket: None,
            grace_days: 30,
        }
    }
}

const BYTES: &str = "a number of bytes from 1, such as 104857600";

impl BlobSettings {
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        if let Some(value) = variable("NIZHAL_BLOBS") {
            settings.store = store(&value)?;
        }
        if let Some(value) = variable("NIZHAL_BLOB_MAX_BYTES") {
            settings.max_bytes = parse::at_least("NIZHAL_BLOB_MAX_BYTES", &value, 1, BYTES)?;
        }
        if let Some(value) = variable("NIZHAL_BLOB_MIMES") {
            settings.mimes = value.split(',').map(str::parse).collect::<Result<_, _>>()?;
        }
        if let Some(value) = variable("NIZHAL_BLOB_MAX_BYTES_PER_ACTOR") {
            settings.max_bytes_per_actor = parse::at_least("NIZHAL_BLOB_MAX_BYTES_PER_ACTOR", &value, 1, BYTES)?;
        }
        if let Some(value) = variable("NIZHAL_BLOB_MAX_BYTES_PER_BUCKET") {
            let bytes = parse::at_least("NIZHAL_BLOB_MAX_BYTES_PER_BUCKET", &value, 1, BYTES)?;
            settings.max_bytes_per_bucket = Some(bytes);
        }
        if let Some(value) = variable("NIZHAL_BLOB_GRACE_DAYS") {
            const WANTED: &str = "a number of days from 1 to 36500, such as 30";
            settings.grace_days = parse::at_least("NIZHAL_BLOB_GRACE_DAYS", &value, 1, WANTED)?;
            if settings.grace_days > 36_500 {
                return Err(parse::invalid("NIZHAL_BLOB_GRACE_DAYS", &value, WANTED));
            }
        }
        Ok(settings)
    }

    /// The blob store of a server in this mode on this database.
    pub fn store_of(&self, mode: Mode, database: &DatabaseUrl) -> Option<BlobStoreUrl> {
        match (&self.store, mode) {
            (BlobStoreSetting::At(url), _) => Some(url.clone()),
            (BlobStoreSetting::Unset, Mode::Development) => beside(database).map(BlobStoreUrl::File),
            (BlobStoreSetting::Unset | BlobStoreSetting::Off, _) => None,
        }
    }

    /// Whether blobs of this media type are taken.
    pub fn takes(&self, mime: &str) -> bool {
        self.mimes.is_empty() || self.mimes.iter().any(|pattern| pattern.matches(mime))
    }

    /// How many days a blob that no row names is kept: not shorter than deletes are remembered, and for ever where they are.
    pub fn grace_days(&self, tombstone_days: Option<u32>) -> Option<u32> {
        tombstone_days.map(|days| days.max(self.grace_days))
    }
}

/// `ledger.db-blobs` beside `ledger.db`.
fn beside(database: &DatabaseUrl) -> Option<PathBuf> {
    let url = database.as_str();
    let file = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"))?;
    let file = file.split('?').next().unwrap_or(file);
    (!file.is_empty() && !file.starts_with(":memory:")).then(|| format!("{file}-blobs").into())
}

fn store(value: &str) -> Result<BlobStoreSetting, SettingsError> {
    const WANTED: &str = "`file:///path/to/a/folder`, `s3://bucket`, `gs://bucket` or `az://container`, each with a path behind it if you \
        like, or `off`; credentials go into variables of their own, such as AWS_ACCESS_KEY_ID";
    let text = value.trim();
    if text == "off" {
        return Ok(BlobStoreSetting::Off);
    }
    // What is refused may hold a password.
    let wrong = || parse::invalid("NIZHAL_BLOBS", &super::without_password(text), WANTED);
    let (scheme, rest) = text.split_once("://").filter(|(_, rest)| !rest.is_empty()).ok_or_else(wrong)?;
    if scheme == "file" {
        return Ok(BlobStoreSetting::At(BlobStoreUrl::File(rest.into())));
    }
    if rest.starts_with('/') || rest.contains(['@', '?', '#', ' ', '%']) || rest.split('/').any(|part| part == "..") {
        return Err(wrong());
    }
    let url = text.trim_end_matches('/').to_owned();
    match scheme {
        "s3" => Ok(BlobStoreSetting::At(BlobStoreUrl::S3(url))),
        "gs" => Ok(BlobStoreSetting::At(BlobStoreUrl::Gcs(url))),
        "az" => Ok(BlobStoreSetting::At(BlobStoreUrl::Azure(url))),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &str) -> Result<BlobSettings, SettingsError> {
        BlobSettings::read(|requested| (requested == name).then(|| value.to_owned()))
    }

    #[test]
    fn where_blobs_are_kept() {
        let at = |value: &str| read("NIZHAL_BLOBS", value).unwrap().store;
        assert_eq!(at("off"), BlobStoreSetting::Off);
        assert_eq!(at("file:///srv/blobs"), BlobStoreSetting::At(BlobStoreUrl::File("/srv/blobs".into())));
        assert_eq!(at(" s3://b/p/ "), BlobStoreSetting::At(BlobStoreUrl::S3("s3://b/p".to_owned())));
        for wrong in ["s3://", "ftp://x", "blobs", "s3://key:hunter2@b", "s3://b?x=1", "gs:///b", "az://c/../d"] {
            let error = read("NIZHAL_BLOBS", wrong).unwrap_err().to_string();
            assert!(error.starts_with("NIZHAL_BLOBS is ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_development_start_keeps_them_beside_its_file() {
        let of = |mode, url: &str| BlobSettings::default().store_of(mode, &url.into());
        let beside = Some(BlobStoreUrl::File("ledger.db-blobs".into()));
        assert_eq!(of(Mode::Development, "sqlite://ledger.db?mode=rwc"), beside);
        for url in ["sqlite::memory:", "postgres://db/ledger"] {
            assert_eq!(of(Mode::Development, url), None, "{url}");
        }
        assert_eq!(of(Mode::Production, "sqlite://ledger.db"), None);
        let off = BlobSettings { store: BlobStoreSetting::Off, ..BlobSettings::default() };
        assert_eq!(off.store_of(Mode::Development, &"sqlite://ledger.db".into()), None);
    }

    #[test]
    fn which_media_types_are_taken() {
        let some = read("NIZHAL_BLOB_MIMES", "image/*, application/PDF").unwrap();
        assert!(some.takes("image/jpeg") && some.takes("application/pdf") && some.takes("IMAGE/png"));
        assert!(!some.takes("imagery/x") && !some.takes("application/pdfx") && !some.takes("text/html"));
        assert!(BlobSettings::default().takes("text/html"));
        for wrong in ["*", "image", "*/png", "image/*x", "image/png,", "a/b;c"] {
            assert!(read("NIZHAL_BLOB_MIMES", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_grace_is_no_shorter_than_deletes_are_remembered() {
        let settings = read("NIZHAL_BLOB_GRACE_DAYS", "10").unwrap();
        assert_eq!((settings.grace_days(Some(3)), settings.grace_days(Some(90))), (Some(10), Some(90)));
        assert_eq!(settings.grace_days(None), None);
        for (name, value) in [
            ("NIZHAL_BLOB_GRACE_DAYS", "0"),
            ("NIZHAL_BLOB_GRACE_DAYS", "36501"),
            ("NIZHAL_BLOB_MAX_BYTES", "0"),
            ("NIZHAL_BLOB_MAX_BYTES_PER_ACTOR", "much"),
            ("NIZHAL_BLOB_MAX_BYTES_PER_BUCKET", "-1"),
        ] {
            assert!(read(name, value).unwrap_err().to_string().contains(name), "{name}={value}");
        }
    }
}
