//! The URL of a database, which may hold a password and is printed without it.

use std::fmt;

/// The URL of a database. `Display` and `Debug` leave its password out, and its parameters, which may hold one too.
///
/// ```
/// # use nizhal_runtime::settings::DatabaseUrl;
/// let url = DatabaseUrl::from("postgres://app:hunter2@db/ledger");
/// assert_eq!(url.to_string(), "postgres://app:…@db/ledger");
/// assert_eq!(url.as_str(), "postgres://app:hunter2@db/ledger");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The whole URL, for the code that connects.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for DatabaseUrl {
    fn from(url: T) -> Self {
        Self(url.into())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(&self.0))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", without_password(&self.0))
    }
}

/// `scheme://user:password@host` without the password, and without parameters, which may hold one too.
pub(crate) fn without_password(url: &str) -> String {
    let url = url.split('?').next().unwrap_or(url);
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // The last `@`: a password that is not percent-encoded may hold one.
    let Some((credentials, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match credentials.split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:…@{host}"),
        None => url.to_owned(),
    }
}
