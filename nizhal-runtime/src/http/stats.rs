//! `GET /nizhal/stats`: what the server does right now, for its admin.

use super::{
    bearer,
    error::{HttpError, respond},
};
use crate::server::Server;
use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web::Data};
use serde_json::json;

pub(super) async fn stats(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(answer(&request, &server)).await
}

async fn answer(request: &HttpRequest, server: &Server) -> Result<HttpResponse, HttpError> {
    bearer::admin(server.settings().admin_password.as_ref(), request)?;
    let jobs = server.engine().store.job_counts().await.map_err(HttpError::from)?;
    let hub = server.hub().stats();
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(json!({
        "app": server.name(),
        "contractVersion": server.gate().contract.to_string(),
        "contractHash": server.contract().hash(),
        "mode": server.settings().mode.as_str(),
        "database": server.database_kind(),
        "uptimeSeconds": server.uptime().as_secs(),
        "sockets": hub.sockets,
        "subscriptions": hub.subscriptions,
        "pingsSent": hub.pings_sent,
        "jobs": {"pending": jobs.pending, "running": jobs.running, "dead": jobs.dead},
        "counts": server.counts().read(),
    })))
}
