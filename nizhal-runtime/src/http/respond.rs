//! A handler's end: its error becomes an answer that is counted and told to observers.

use super::{bearer, error::HttpError, server::Server};
use crate::observe::ErrorEvent;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;

/// Runs a handler: its errors are counted and become answers, and a panic becomes a 500 instead of a cut connection.
pub(crate) async fn respond(
    server: &Server,
    request: &HttpRequest,
    work: impl Future<Output = Result<HttpResponse, HttpError>>,
) -> HttpResponse {
    let error = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(response)) => return response,
        Ok(Err(error)) => error,
        Err(_) => HttpError::Panicked,
    };
    let (status, code) = error.status();
    server.counts().failed(code);
    let (url, actor) = (request.match_pattern(), bearer::verified(request));
    let url = url.as_deref().unwrap_or_default();
    server.observers().error(&ErrorEvent { url, actor: actor.as_deref(), status: status.as_u16(), code });
    error.into_response()
}
