//! The URLs of blobs. No store for them can be set up, so they say that, after asking who wants to know.

use super::{bearer, body, error::HttpError, respond::respond};
use crate::http::Server;
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};

const NOT_CONFIGURED: HttpError = HttpError::NotConfigured("this server has no blob store");

/// `POST /nizhal/blob/presign-upload` and `GET /nizhal/blob/{id}/url`, for actors.
pub(super) async fn for_actors(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> HttpResponse {
    let answering = async {
        bearer::actor(&server, &request).await?;
        body::drain(&mut payload).await;
        Err(NOT_CONFIGURED)
    };
    respond(&server, &request, Box::pin(answering)).await
}

/// `PUT` and `GET /nizhal/blob/{key}`, whose URLs are signed.
pub(super) async fn signed(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> HttpResponse {
    let answering = async {
        body::drain(&mut payload).await;
        Err(NOT_CONFIGURED)
    };
    respond(&server, &request, Box::pin(answering)).await
}
