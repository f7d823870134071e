//! The one place that turns every error into a status, a code and a safe text, and logs it once.
//!
//! A handler fails with [`HttpError`]; nothing else decides what a client reads.

use crate::{
    auth::AuthError,
    engine::{PullError, PushError, ScopeError},
    scope::TooManyBuckets,
    store::StoreError,
};
use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde_json::{Map, Value};
use std::error::Error;

/// Why a request has no other answer.
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

/// Status, code, and the text that is safe to show.
struct Answer {
    status: StatusCode,
    code: &'static str,
    text: String,
}

fn answer(status: StatusCode, code: &'static str, text: impl Into<String>) -> Answer {
    Answer { status, code, text: text.into() }
}

impl HttpError {
    fn answer(&self) -> Answer {
        let shown = self.to_string();
        match self {
            Self::Auth(AuthError::Unavailable(_)) => answer(StatusCode::SERVICE_UNAVAILABLE, "unavailable", shown),
            Self::Auth(_) | Self::AdminWrong => answer(StatusCode::UNAUTHORIZED, "unauthorized", shown),
            Self::AdminUnset => answer(StatusCode::NOT_IMPLEMENTED, "not_implemented", shown),
            Self::NotConfigured(_) => answer(StatusCode::NOT_IMPLEMENTED, "not_configured", shown),
            Self::BucketForbidden => answer(StatusCode::FORBIDDEN, "forbidden", shown),
            Self::TooManyBuckets(_) => answer(StatusCode::FORBIDDEN, "too_many_buckets", shown),
            Self::NotFound => answer(StatusCode::NOT_FOUND, "not_found", shown),
            Self::MethodNotAllowed { .. } => answer(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", shown),
            Self::BadJson => answer(StatusCode::BAD_REQUEST, "bad_json", shown),
            Self::BadRequest(_) => answer(StatusCode::BAD_REQUEST, "bad_request", shown),
            Self::TooLarge { .. } => answer(StatusCode::PAYLOAD_TOO_LARGE, "too_large", shown),
            Self::BodyTooSlow => answer(StatusCode::REQUEST_TIMEOUT, "body_too_slow", shown),
            Self::RateLimited { .. } => answer(StatusCode::TOO_MANY_REQUESTS, "rate_limited", shown),
            Self::TooManySockets { .. } => answer(StatusCode::TOO_MANY_REQUESTS, "too_many_sockets", shown),
            Self::TooManyRequests { .. } => answer(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", shown),
            Self::UpgradeRequired { .. } => answer(StatusCode::UPGRADE_REQUIRED, "upgrade_required", shown),
            Self::Pull(PullError::Store(error)) | Self::Store(error) => store(error),
            Self::Push { failure, .. } => push(failure),
            Self::Pull(_) => internal(),
            Self::Busy | Self::Crowded | Self::Stopping | Self::NotReady(_) => {
                answer(StatusCode::SERVICE_UNAVAILABLE, "unavailable", shown)
            }
            Self::Panicked => internal(),
        }
    }

    /// Status and code of the answer.
    pub(super) fn status(&self) -> (StatusCode, &'static str) {
        let Answer { status, code, .. } = self.answer();
        (status, code)
    }

    /// The answer to the client.
    pub(crate) fn into_response(self) -> HttpResponse {
        let Answer { status, code, text } = self.answer();
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

fn internal() -> Answer {
    answer(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the server failed; the cause is in its log")
}

fn store(error: &StoreError) -> Answer {
    match error {
        StoreError::Busy => answer(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database is busy; try again"),
        StoreError::Unavailable(_)
        | StoreError::StalePlan(_)
        | StoreError::Overtaken
        | StoreError::SharedCommit
        | StoreError::Displaced(_)
        | StoreError::Pooler(..) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the database is unavailable; try again")
        }
        StoreError::TooManyClients { .. } => {
            answer(StatusCode::TOO_MANY_REQUESTS, "too_many_clients", error.to_string())
        }
        StoreError::TooManyAnswers { .. } => {
            answer(StatusCode::TOO_MANY_REQUESTS, "too_many_answers", error.to_string())
        }
        StoreError::OtherRules => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "this server is older than the database's sync rules; try again",
        ),
        _ => internal(),
    }
}

fn push(failure: &PushError) -> Answer {
    let shown = failure.to_string();
    match failure {
        PushError::UnknownMutator(_) => answer(StatusCode::BAD_REQUEST, "unknown_mutator", shown),
        PushError::Forbidden => answer(StatusCode::FORBIDDEN, "forbidden", shown),
        PushError::ClientIdTaken => answer(StatusCode::FORBIDDEN, "client_id_taken", shown),
        PushError::OutOfOrder { .. } => answer(StatusCode::CONFLICT, "out_of_order", shown),
        PushError::Waits(_) => answer(StatusCode::CONFLICT, "out_of_order", shown),
        PushError::NumberUsed(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "number_used", shown),
        PushError::Cancelled(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "cancelled", shown),
        PushError::Rejected(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "rejected", shown),
        PushError::InvalidArgs(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "invalid_args", shown),
        PushError::Expired => answer(StatusCode::UNPROCESSABLE_ENTITY, "expired", shown),
        PushError::MutatorPanicked => answer(StatusCode::UNPROCESSABLE_ENTITY, "mutator_panicked", shown),
        PushError::TransactionControl(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "transaction_control", shown),
        PushError::RowTooLarge(_) => answer(StatusCode::UNPROCESSABLE_ENTITY, "row_too_large", shown),
        PushError::Store(error) => store(error),
        PushError::Schema { violation: Some(violation), .. } => {
            let text = format!(
                "a mutation breaks {violation}, which the app's tables do not declare: mend the table or the struct"
            );
            answer(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
        }
        PushError::Schema { violation: None, .. } | PushError::Internal(_) => internal(),
    }
}

/// Code and text of a mutation that was not applied, for answers that are no errors themselves.
pub(crate) fn push_answer(failure: &PushError) -> (&'static str, String) {
    let Answer { code, text, .. } = push(failure);
    (code, text)
}

/// The status that a failure would give a push's answer.
pub(super) fn push_status(failure: &PushError) -> u16 {
    push(failure).status.as_u16()
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
