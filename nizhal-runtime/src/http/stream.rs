//! `GET /sync/stream`: everything that is decided before the upgrade to a WebSocket.

use super::{
    bearer,
    error::{HttpError, respond},
    socket::{MAX_FRAME_BYTES, Socket, Wanted},
    wire,
};
use crate::server::Server;
use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload, Query},
};

pub(super) async fn stream(request: HttpRequest, payload: Payload, server: Data<Server>) -> HttpResponse {
    respond(&server.clone(), &request.clone(), Box::pin(answer(request, payload, server))).await
}

async fn answer(request: HttpRequest, payload: Payload, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let query = query(&request)?;
    let principal = bearer::socket_actor(&server, &request, &query).await?;
    let wire = wire::of_query(&request, &query)?;
    if server.is_stopping() {
        return Err(HttpError::Stopping);
    }
    let wanted = Wanted::of(wire, &buckets(&query));
    let scope = server.engine().scope(&principal).await?;
    let held = wanted.held(scope);
    if wanted.lacks(&held) {
        return Err(HttpError::BucketForbidden);
    }
    let (response, session, frames) = actix_ws::handle(&request, payload)
        .map_err(|_| HttpError::BadRequest("this URL speaks WebSocket: send an upgrade".to_owned()))?;
    let frames =
        frames.max_frame_size(MAX_FRAME_BYTES).aggregate_continuations().max_continuation_size(MAX_FRAME_BYTES);
    // Listening from before the upgrade: what changes while it happens is pinged too.
    let socket = Socket::new(server.get_ref().clone(), principal, wanted, held, session);
    rt::spawn(Box::pin(socket.run(frames)));
    Ok(response)
}

/// The query as pairs, in order.
pub(super) fn query(request: &HttpRequest) -> Result<Vec<(String, String)>, HttpError> {
    Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|_| HttpError::BadRequest("the query does not read".to_owned()))
}

/// The buckets that a query names.
pub(super) fn buckets(query: &[(String, String)]) -> Vec<&str> {
    query.iter().filter(|(name, _)| name == "bucket").map(|(_, value)| value.as_str()).collect()
}
