//! Blob stores of providers: S3 and what speaks it, Google's and Azure's. Their credentials come from the variables that their own tools
//! read.

use super::{error::BlobStoreFault, sign::SignedPut};
use crate::settings::BlobStoreUrl;
use nizhal_core::Mime;
use object_store::{
    ObjectStore, RetryConfig,
    path::Path,
    signer::{Method, SignedUrlOptions, Signer},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A provider that signs URLs; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Cloud {
    signer: Arc<dyn Signer>,
    kind: Kind,
}

/// The provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(all(feature = "s3", feature = "gcs", feature = "azure")),
    expect(dead_code, reason = "others are features")
)]
enum Kind {
    /// Its URLs may say how an object is answered.
    S3,
    /// As S3.
    Gcs,
    /// Signs a path and a method alone.
    Azure,
}

/// How long a request to the provider is tried again.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() }
}

/// The store at this URL, what its paths begin with, and its signer.
pub(super) fn open(url: &BlobStoreUrl) -> Result<(Arc<dyn ObjectStore>, String, Cloud), BlobStoreFault> {
    // One that the app installed before stays.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match url {
        #[cfg(feature = "s3")]
        BlobStoreUrl::S3(url) => {
            let builder = object_store::aws::AmazonS3Builder::from_env().with_retry(retry());
            Ok(opened(builder.with_url(url).build()?, url, Kind::S3))
        }
        #[cfg(feature = "gcs")]
        BlobStoreUrl::Gcs(url) => {
            let builder = object_store::gcp::GoogleCloudStorageBuilder::from_env().with_retry(retry());
            Ok(opened(builder.with_url(url).build()?, url, Kind::Gcs))
        }
        #[cfg(feature = "azure")]
        BlobStoreUrl::Azure(url) => {
            let builder = object_store::azure::MicrosoftAzureBuilder::from_env().with_retry(retry());
            Ok(opened(builder.with_url(url).build()?, url, Kind::Azure))
        }
        BlobStoreUrl::File(_) => Err(BlobStoreFault::NoFeature("server")),
        #[cfg(not(feature = "s3"))]
        BlobStoreUrl::S3(_) => Err(BlobStoreFault::NoFeature("s3")),
        #[cfg(not(feature = "gcs"))]
        BlobStoreUrl::Gcs(_) => Err(BlobStoreFault::NoFeature("gcs")),
        #[cfg(not(feature = "azure"))]
        BlobStoreUrl::Azure(_) => Err(BlobStoreFault::NoFeature("azure")),
    }
}

fn opened<T: ObjectStore + Signer>(store: T, url: &str, kind: Kind) -> (Arc<dyn ObjectStore>, String, Cloud) {
    let store = Arc::new(store);
    let path = url.split_once("://").map_or("", |(_, rest)| rest).split_once('/').map_or("", |(_, path)| path);
    let prefix = if path.is_empty() { String::new() } else { format!("{}/", path.trim_matches('/')) };
    (store.clone(), prefix, Cloud { signer: store, kind })
}

impl Cloud {
    /// A URL that reads an object as one of this media type, where the provider can say it.
    pub(super) async fn get(&self, path: &Path, mime: &Mime, time: Duration) -> object_store::Result<String> {
        let mut options = SignedUrlOptions::new();
        if self.kind != Kind::Azure {
            options = options.with_query([
                ("response-content-type", mime.as_str()),
                ("response-content-disposition", "attachment"),
                ("response-cache-control", "private, max-age=31536000, immutable"),
            ]);
        }
        let url = self.signer.signed_url_opts(Method::GET, path, time, &options).await?;
        Ok(url.into())
    }

    /// A URL that writes an object, and the headers that must go with it. No provider's URL can be held to a length by the crate: it is
    /// checked once the upload is complete.
    pub(super) async fn put(&self, path: &Path, time: Duration) -> object_store::Result<SignedPut> {
        let mut headers = BTreeMap::new();
        if self.kind == Kind::Azure {
            headers.insert("x-ms-blob-type".to_owned(), "BlockBlob".to_owned());
        }
        let url = self.signer.signed_url(Method::PUT, path, time).await?;
        Ok(SignedPut { url: url.into(), headers })
    }
}
