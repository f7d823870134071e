//! The version gate: clients older than the server supports are told to update.

use super::error::HttpError;
use actix_web::HttpRequest;
use std::{fmt, str::FromStr};

/// The header by which a client names the contract it was built for.
const HEADER: &str = "x-nizhal-contract-version";

/// A version as `1.2.3`, or `1.2.3-beta`, which comes before `1.2.3`.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    numbers: [u32; 3],
    released: bool,
    text: String,
}

impl Version {
    /// What versions are compared by: false comes first, a pre-release before its release.
    fn order(&self) -> ([u32; 3], bool) {
        (self.numbers, self.released)
    }
}

/// Why a text is no version.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version: write three numbers, such as 1.2.0")]
pub struct VersionError(String);

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.order() == other.order()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        self.order().partial_cmp(&other.order())
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.chars().take(40).collect());
        let core = text.split('+').next().unwrap_or(text);
        let (core, released) = match core.split_once('-') {
            Some((core, _)) => (core, false),
            None => (core, true),
        };
        let mut parts = core.split('.');
        let mut numbers = [0; 3];
        for number in &mut numbers {
            let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
            *number = part.and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
        }
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { numbers, released, text: text.to_owned() })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The contract's version and the oldest client that may still speak.
#[derive(Clone, Debug)]
pub(crate) struct VersionGate {
    pub(crate) contract: Version,
    pub(crate) min_client: Option<Version>,
}

impl VersionGate {
    /// Lets the client in or tells it to update; no header and an unreadable one count as `0.0.0`.
    pub(crate) fn check(&self, request: &HttpRequest) -> Result<(), HttpError> {
        let Some(min_client) = &self.min_client else { return Ok(()) };
        let sent = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let sent = sent.and_then(|text| text.trim().parse::<Version>().ok());
        if sent.as_ref().map_or(([0; 3], true), Version::order) < min_client.order() {
            return Err(HttpError::UpgradeRequired {
                contract_version: self.contract.to_string(),
                min_client_version: min_client.to_string(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn passes(min: Option<&str>, sent: Option<&str>) -> bool {
        let gate =
            VersionGate { contract: "2.0.0".parse().unwrap(), min_client: min.map(|text| text.parse().unwrap()) };
        let mut request = TestRequest::default();
        if let Some(sent) = sent {
            request = request.insert_header((HEADER, sent));
        }
        gate.check(&request.to_http_request()).is_ok()
    }

    #[test]
    fn older_clients_are_told() {
        assert!(passes(None, None));
        assert!(passes(Some("0.0.0"), None));
        for sent in [None, Some("1.2.0"), Some("garbage"), Some(""), Some("1.10"), Some("1.9.9"), Some("1.10.0-beta")] {
            assert!(!passes(Some("1.10.0"), sent), "{sent:?}");
        }
        for sent in ["1.10.0", "1.10.0+build", "1.10.1-beta", "2.0.0", "99.0.0"] {
            assert!(passes(Some("1.10.0"), Some(sent)), "{sent}");
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in ["", "1", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1..3", "1.2.99999999999", "+1.2.3"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
