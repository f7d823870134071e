//! Reading a set of keys from where it is, without holding up anything else.

use crate::settings::JwksSource;
use std::{io::Read, path::Path, time::Duration};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// The largest document that is read.
const MAX_BYTES: u64 = 1024 * 1024;
/// How long an issuer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    #[error("it does not answer")]
    Ask(#[from] ureq::Error),
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the reading was stopped")]
    Stopped,
}

/// Why an authority's certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum AuthorityError {
    #[error("it cannot be read")]
    Read(#[from] std::io::Error),
    #[error("it does not read as PEM")]
    Pem(#[source] ureq::Error),
    #[error("it holds no certificate")]
    Empty,
}

/// The authority in this file, to be trusted alone.
pub(super) async fn roots(path: &Path) -> Result<RootCerts, AuthorityError> {
    let pem = tokio::fs::read(path).await?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(AuthorityError::Pem)? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err(AuthorityError::Empty) } else { Ok(RootCerts::new_with_certs(&certificates)) }
}

/// Reads the document.
pub(super) async fn fetch(source: &JwksSource, roots: &RootCerts) -> Result<Vec<u8>, FetchError> {
    let (source, roots) = (source.clone(), roots.clone());
    // The client and files block: a thread of their own.
    tokio::task::spawn_blocking(move || read(&source, roots)).await.map_err(|_| FetchError::Stopped)?
}

fn read(source: &JwksSource, roots: RootCerts) -> Result<Vec<u8>, FetchError> {
    match source {
        JwksSource::File(path) => up_to(std::fs::File::open(path)?),
        JwksSource::Url(url) => {
            let config = ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                // Who asks over TLS is not led away from it.
                .https_only(url.starts_with("https://"))
                .max_redirects(3)
                .tls_config(TlsConfig::builder().root_certs(roots).build())
                .build();
            let response = ureq::Agent::new_with_config(config).get(url).header("accept", "application/json").call()?;
            up_to(response.into_body().into_reader())
        }
    }
}

fn up_to(reader: impl Read) -> Result<Vec<u8>, FetchError> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES { Err(FetchError::TooLarge) } else { Ok(bytes) }
}
