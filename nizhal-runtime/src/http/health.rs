//! `GET /healthz` and `GET /readyz`: for whoever decides whether to send traffic here.

use super::{error::HttpError, respond::respond};
use crate::http::Server;
use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web::Data};
use serde_json::json;

/// The process is up.
pub(super) async fn healthz() -> HttpResponse {
    well("ok")
}

/// The database answers, is whole and takes writes, and the server is not stopping.
pub(super) async fn readyz(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    let asking = async {
        if server.is_stopping() {
            return Err(HttpError::Stopping);
        }
        server.engine().ready().await.map_err(HttpError::NotReady)?;
        Ok(well("ready"))
    };
    respond(&server, &request, Box::pin(asking)).await
}

fn well(status: &str) -> HttpResponse {
    HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({ "status": status }))
}
