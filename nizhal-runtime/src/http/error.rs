//! The one place that turns every error into a status, a code and a safe text, and logs it once.
//!
//! A handler fails with [`HttpError`]; nothing else decides what a client reads.

use crate::{
    auth::AuthError,
    blob::BlobError,
    engine::{ImageError, PullError, PushError, ScopeError},
    scope::TooManyBuckets,
    store::StoreError,
};
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Map, Value};
use std::error::Error;

/// The error that a request is answered with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error("the admin password is missing or wrong")]
    AdminWrong,
    #[error("set NIZHAL_ADMIN_PASSWORD to open this")]
    AdminUnset,
    /// What it needs is not set up; the text says how to.
    #[error("{0}")]
    NotConfigured(&'static str),
    #[error("the actor does not hold this bucket")]
    BucketForbidden,
    #[error(transparent)]
    TooManyBuckets(#[from] TooManyBuckets),
    #[error("nothing is here")]
    NotFound,
    #[error("this URL takes {allowed}")]
    MethodNotAllowed { allowed: &'static str },
    #[error("the body is not JSON")]
    BadJson,
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body came too slowly; send it again")]
    BodyTooSlow,
    #[error("too many requests; wait before the next")]
    RateLimited { retry_after_s: u64 },
    #[error("the actor has as many open sockets as it may (NIZHAL_MAX_SOCKETS_PER_ACTOR); close one, or wait")]
    TooManySockets { retry_after_s: u64 },
    #[error("the actor has as many requests in flight, or bytes on their way, as it may; wait for their answers")]
    TooManyRequests { retry_after_s: u64 },
    #[error("the server has as many requests in flight, or bytes on their way, as it may; try again")]
    Crowded,
    #[error("this client is older than the server supports; update it")]
    UpgradeRequired { contract_version: String, min_client_version: String },
    #[error("the pull failed")]
    Pull(#[source] PullError),
    #[error("the push ended early")]
    Push {
        #[source]
        failure: PushError,
        /// What a push answers beside its failure.
        outcome: Map<String, Value>,
    },
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("images are unavailable; try again")]
    Image(#[from] ImageError),
    #[error("the range is not in the blob, which has {size} bytes")]
    RangeNotSatisfiable { size: u64 },
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("the database is not ready; the cause is in the server's log")]
    NotReady(#[source] StoreError),
    #[error("as many pulls are streamed as there may be; try again, or pull in pages")]
    Busy,
    #[error("the server is stopping")]
    Stopping,
    #[error("a handler panicked")]
    Panicked,
}

impl From<PullError> for HttpError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::TooManyBuckets(error) => error.into(),
            error => Self::Pull(error),
        }
    }
}

impl From<ScopeError> for HttpError {
    fn from(error: ScopeError) -> Self {
        match error {
            ScopeError::Store(error) => error.into(),
            ScopeError::TooManyBuckets(error) => error.into(),
        }
    }
}

/// How long a client waits before it tries a database that was away, in seconds.
const RETRY_AFTER_S: u64 = 1;

/// How long a client waits whose actor has stored all that it may, in seconds.
const FULL_RETRY_AFTER_S: u64 = 60;

/// How long a client waits whose actor declared all that it may within a day, in seconds.
const BLOBS_RETRY_AFTER_S: u64 = 60 * 60;

/// The status, code and safe text of an error.
struct ErrorResponse {
    status: StatusCode,
    code: &'static str,
    text: String,
}

fn error_response(status: StatusCode, code: &'static str, text: impl Into<String>) -> ErrorResponse {
    ErrorResponse { status, code, text: text.into() }
}

impl HttpError {
    fn response(&self) -> ErrorResponse {
        let shown = self.to_string();
        match self {
            Self::Auth(AuthError::Unavailable(_)) => {
                error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", shown)
            }
            Self::Auth(_) | Self::AdminWrong => error_response(StatusCode::UNAUTHORIZED, "unauthorized", shown),
            Self::AdminUnset => error_response(StatusCode::NOT_IMPLEMENTED, "not_implemented", shown),
            Self::NotConfigured(_) => error_response(StatusCode::NOT_IMPLEMENTED, "not_configured", shown),
            Self::BucketForbidden => error_response(StatusCode::FORBIDDEN, "forbidden", shown),
            Self::TooManyBuckets(_) => error_response(StatusCode::FORBIDDEN, "too_many_buckets", shown),
            Self::NotFound => error_response(StatusCode::NOT_FOUND, "not_found", shown),
            Self::MethodNotAllowed { .. } => {
                error_response(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", shown)
            }
            Self::BadJson => error_response(StatusCode::BAD_REQUEST, "bad_json", shown),
            Self::BadRequest(_) => error_response(StatusCode::BAD_REQUEST, "bad_request", shown),
            Self::TooLarge { .. } => error_response(StatusCode::PAYLOAD_TOO_LARGE, "too_large", shown),
            Self::BodyTooSlow => error_response(StatusCode::REQUEST_TIMEOUT, "body_too_slow", shown),
            Self::RateLimited { .. } => error_response(StatusCode::TOO_MANY_REQUESTS, "rate_limited", shown),
            Self::TooManySockets { .. } => error_response(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", shown),
            Self::TooManyRequests { .. } => error_response(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", shown),
            Self::UpgradeRequired { .. } => error_response(StatusCode::UPGRADE_REQUIRED, "upgrade_required", shown),
            Self::Pull(PullError::Store(error)) | Self::Image(ImageError::Store(error)) | Self::Store(error) => {
                store_response(error)
            }
            Self::Push { failure, .. } => push_response(failure),
            Self::Blob(error) => blob_response(error),
            Self::RangeNotSatisfiable { .. } => {
                error_response(StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable", shown)
            }
            Self::Pull(_) => internal_response(),
            Self::Image(ImageError::Files(_)) | Self::Busy | Self::Crowded | Self::Stopping | Self::NotReady(_) => {
                error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", shown)
            }
            Self::Panicked => internal_response(),
        }
    }

    /// The status and code of the response.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        let ErrorResponse { status, code, .. } = self.response();
        (status, code)
    }

    /// The response to the client.
    /// The status and the code that a simulator's device reads.
    pub(super) fn brief(&self) -> (u16, Value) {
        let ErrorResponse { status, code, text } = self.response();
        let mut body = serde_json::json!({"error": text, "code": code});
        if let Self::Blob(BlobError::PartsMissing(parts)) = self {
            body["parts"] = parts.clone().into();
        }
        (status.as_u16(), body)
    }

    pub(crate) fn into_response(self) -> HttpResponse {
        let ErrorResponse { status, code, text } = self.response();
        self.log(status, code);
        let mut response = HttpResponse::build(status);
        let mut body = Map::new();
        body.insert("error".to_owned(), text.into());
        body.insert("code".to_owned(), code.into());
        match self {
            Self::RateLimited { retry_after_s }
            | Self::TooManySockets { retry_after_s }
            | Self::TooManyRequests { retry_after_s } => {
                response.insert_header((header::RETRY_AFTER, retry_after_s.to_string()));
            }
            Self::Auth(AuthError::Missing | AuthError::Invalid | AuthError::Expired | AuthError::TooLong) => {
                response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
            }
            Self::MethodNotAllowed { allowed } => {
                response.insert_header((header::ALLOW, allowed));
            }
            Self::AdminWrong => {
                response.insert_header((header::WWW_AUTHENTICATE, "Basic realm=\"nizhal\""));
            }
            Self::UpgradeRequired { contract_version, min_client_version } => {
                body.insert("contractVersion".to_owned(), contract_version.into());
                body.insert("minClientVersion".to_owned(), min_client_version.into());
            }
            Self::Blob(BlobError::PartsMissing(parts)) => {
                body.insert("parts".to_owned(), parts.into());
            }
            Self::Blob(BlobError::ActorFull | BlobError::BucketFull) => {
                response.insert_header((header::RETRY_AFTER, BLOBS_RETRY_AFTER_S.to_string()));
            }
            Self::RangeNotSatisfiable { size } => {
                response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
            }
            // What is left of the body may never come.
            Self::BodyTooSlow => {
                response.force_close();
            }
            Self::Push { outcome, .. } => {
                if status == StatusCode::TOO_MANY_REQUESTS {
                    response.insert_header((header::RETRY_AFTER, FULL_RETRY_AFTER_S.to_string()));
                }
                body.extend(outcome);
            }
            _ => {}
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER_S.to_string()));
        }
        response.json(Value::Object(body))
    }

    /// Faults of the server are errors with their causes; the client's own are for whoever asks.
    fn log(&self, status: StatusCode, code: &'static str) {
        let error: &dyn Error = self;
        if matches!(self, Self::AdminUnset | Self::NotConfigured(_) | Self::Busy | Self::Crowded | Self::Stopping)
            || !status.is_server_error()
        {
            tracing::debug!(status = status.as_u16(), code, error, "request refused");
        } else {
            tracing::error!(status = status.as_u16(), code, error, "request failed");
        }
    }
}

fn internal_response() -> ErrorResponse {
    error_response(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; the cause is in its log")
}

fn store_response(error: &StoreError) -> ErrorResponse {
    match error {
        StoreError::Busy => {
            error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database is busy; try again")
        }
        StoreError::Unavailable(_)
        | StoreError::StalePlan(_)
        | StoreError::Overtaken
        | StoreError::SharedCommit
        | StoreError::Displaced(_)
        | StoreError::Pooler(..) => {
            error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database is unavailable; try again")
        }
        StoreError::TooManyClients { .. } => {
            error_response(StatusCode::TOO_MANY_REQUESTS, "too_many_clients", error.to_string())
        }
        StoreError::TooManyAnswers { .. } => {
            error_response(StatusCode::TOO_MANY_REQUESTS, "too_many_answers", error.to_string())
        }
        StoreError::OtherRules => error_response(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "this server is older than the database's sync rules; try again",
        ),
        _ => internal_response(),
    }
}

fn blob_response(error: &BlobError) -> ErrorResponse {
    let shown = error.to_string();
    match error {
        BlobError::NotFound => error_response(StatusCode::NOT_FOUND, "not_found", shown),
        BlobError::HashMismatch { .. } => error_response(StatusCode::UNPROCESSABLE_ENTITY, "hash_mismatch", shown),
        BlobError::TooLarge { .. } => error_response(StatusCode::PAYLOAD_TOO_LARGE, "too_large", shown),
        BlobError::MimeRefused(_) => error_response(StatusCode::UNSUPPORTED_MEDIA_TYPE, "mime_refused", shown),
        BlobError::PartsMissing(_) => error_response(StatusCode::CONFLICT, "parts_missing", shown),
        BlobError::ActorFull | BlobError::BucketFull => {
            error_response(StatusCode::TOO_MANY_REQUESTS, "too_many_blob_bytes", shown)
        }
        BlobError::PartLength { .. } | BlobError::BucketNeeded | BlobError::Declared(_) => {
            error_response(StatusCode::BAD_REQUEST, "bad_request", shown)
        }
        BlobError::BadSignature => error_response(StatusCode::FORBIDDEN, "forbidden", shown),
        BlobError::Store(error) => store_response(error),
        BlobError::Objects(_) => error_response(StatusCode::SERVICE_UNAVAILABLE, "unavailable", shown),
    }
}

fn push_response(failure: &PushError) -> ErrorResponse {
    let shown = failure.to_string();
    match failure {
        PushError::UnknownMutator(_) => error_response(StatusCode::BAD_REQUEST, "unknown_mutator", shown),
        PushError::Forbidden => error_response(StatusCode::FORBIDDEN, "forbidden", shown),
        PushError::ClientIdTaken => error_response(StatusCode::FORBIDDEN, "client_id_taken", shown),
        PushError::OutOfOrder { .. } => error_response(StatusCode::CONFLICT, "out_of_order", shown),
        PushError::Waits(_) => error_response(StatusCode::CONFLICT, "out_of_order", shown),
        PushError::NumberUsed(_) => error_response(StatusCode::UNPROCESSABLE_ENTITY, "number_used", shown),
        PushError::Cancelled(_) => error_response(StatusCode::UNPROCESSABLE_ENTITY, "cancelled", shown),
        PushError::Rejected(_) => error_response(StatusCode::UNPROCESSABLE_ENTITY, "rejected", shown),
        PushError::InvalidArgs(_) => error_response(StatusCode::UNPROCESSABLE_ENTITY, "invalid_args", shown),
        PushError::Expired => error_response(StatusCode::UNPROCESSABLE_ENTITY, "expired", shown),
        PushError::MutatorPanicked => error_response(StatusCode::UNPROCESSABLE_ENTITY, "mutator_panicked", shown),
        PushError::TransactionControl(_) => {
            error_response(StatusCode::UNPROCESSABLE_ENTITY, "transaction_control", shown)
        }
        PushError::RowTooLarge(_) => error_response(StatusCode::UNPROCESSABLE_ENTITY, "row_too_large", shown),
        PushError::BlobMissing(_) => error_response(StatusCode::CONFLICT, "blob_missing", shown),
        PushError::Store(error) => store_response(error),
        PushError::Schema { violation: Some(violation), .. } => {
            let text = format!(
                "a mutation breaks {violation}, which the app's tables do not declare: mend the table or the struct"
            );
            error_response(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
        }
        PushError::Schema { violation: None, .. } | PushError::Internal(_) => internal_response(),
    }
}

/// The code and text of a mutation that was not applied, for answers that are no errors themselves.
pub(crate) fn code_and_text(failure: &PushError) -> (&'static str, String) {
    let ErrorResponse { code, text, .. } = push_response(failure);
    (code, text)
}

/// The status that a failure would give a push's answer.
pub(super) fn push_status(failure: &PushError) -> u16 {
    push_response(failure).status.as_u16()
}

/// For URLs of ours that nothing answers.
pub(crate) async fn not_found() -> HttpResponse {
    HttpError::NotFound.into_response()
}

/// For URLs of ours that take another method.
pub(crate) async fn method_not_allowed(allowed: &'static str) -> HttpResponse {
    HttpError::MethodNotAllowed { allowed }.into_response()
}

#[cfg(test)]
mod tests;
