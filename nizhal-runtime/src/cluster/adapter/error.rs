//! Why an adapter does not work right now.

use crate::store::StoreError;
#[cfg(feature = "nats")]
use async_nats::ConnectErrorKind;

/// Why an adapter does not work right now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdapterError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error("it took too long")]
    Slow,
    #[error("the connection hears nothing any more")]
    Deaf,
}

/// What went wrong with NATS.
#[cfg(feature = "nats")]
#[derive(Debug, thiserror::Error)]
pub(crate) enum NatsError {
    #[error("{0} does not read (NIZHAL_NATS_CREDENTIALS)")]
    Credentials(String, #[source] std::io::Error),
    #[error("{0} does not read (NIZHAL_NATS_CA)")]
    Ca(String, #[source] std::io::Error),
    #[error("the NATS server's address does not read (NIZHAL_NATS_URL)")]
    Address(#[source] std::io::Error),
    #[error("the NATS server cannot be reached (NIZHAL_NATS_URL)")]
    Connect(#[source] async_nats::ConnectError),
    #[error(
        "the NATS server does not let us in: it wants another token, or user and password (NIZHAL_NATS_URL), or another \
         .creds file (NIZHAL_NATS_CREDENTIALS)"
    )]
    Refused(#[source] async_nats::ConnectError),
    #[error("the subject cannot be subscribed to")]
    Subscribe(#[from] async_nats::SubscribeError),
    #[error("a message was not taken")]
    Publish(#[from] async_nats::PublishError),
    #[error("the messages did not go out")]
    Flush(#[source] async_nats::client::FlushError),
    #[error("{0}")]
    Said(String),
    #[error("there is no connection")]
    Away,
}

#[cfg(feature = "nats")]
impl From<async_nats::ConnectError> for NatsError {
    fn from(error: async_nats::ConnectError) -> Self {
        match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Self::Refused(error),
            _ => Self::Connect(error),
        }
    }
}
