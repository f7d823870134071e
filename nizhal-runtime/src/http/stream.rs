//! `GET /sync/stream`: everything that is decided before the upgrade to a WebSocket.

use super::{
    bearer,
    error::HttpError,
    respond::respond,
    socket::{PROTOCOL, Socket, Wanted},
    wire,
};
use crate::http::Server;
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
    let limits = &server.settings().sockets;
    let place = server.sockets().admit(principal.key(), limits.max_per_actor)?;
    // Woken by changed memberships from before the scope is read, so that none falls between. Of many who come at once a few
    // read at a time, and the rest wait: after a cut all come back, and none of them should be sent away.
    let mut listener = server.hub().listen_as(Some(server.scopes().of(&principal)));
    let scope = match listener.held() {
        Some(held) => server.scopes().read_now(held, &principal).await?,
        None => Default::default(),
    };
    let held = wanted.held(&scope);
    if wanted.lacks(&held) {
        return Err(HttpError::BucketForbidden);
    }
    let (response, session, frames) = actix_ws::handle_with_protocols(&request, payload, &[PROTOCOL])
        .map_err(|_| HttpError::BadRequest("this URL speaks WebSocket: send an upgrade".to_owned()))?;
    let most = limits.max_frame_bytes;
    let frames = frames.max_frame_size(most).aggregate_continuations().max_continuation_size(most);
    // Listening from before the upgrade: what changes while it happens is pinged too.
    listener.listen_to(held);
    let socket = Socket::new(server.get_ref().clone(), principal, wanted, scope, listener, place, session);
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
