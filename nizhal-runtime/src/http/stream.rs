//! `GET /sync/stream`: everything that is decided before the upgrade to a WebSocket.

use super::{
    bearer,
    error::HttpError,
    respond::respond,
    socket::{Incoming, Outgoing, PROTOCOL, Socket, Wanted},
    wire,
};
use crate::http::Server;
use actix_web::{
    FromRequest, HttpRequest, HttpResponse, dev, rt,
    web::{Data, Payload, Query},
};
use futures_util::StreamExt;
use nizhal_core::limits::{MAX_BUCKET_NAME_BYTES, MAX_NAMED_BUCKETS};

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
    let wanted = Wanted::of(wire, &buckets(&query)?);
    let limits = &server.settings().sockets;
    let permit = server.sockets().admit(principal.key(), limits.max_per_actor)?;
    // Woken by changed memberships from before the scope is read, so that none falls between. Of many who come at once a few
    // read at a time, and the rest wait: after a cut all come back, and none of them should be sent away.
    let mut listener = server.hub().listen_as(Some(server.scopes().of(&principal)));
    let scope = match listener.scope_cell() {
        Some(scope_cell) => server.scopes().read_now(scope_cell, &principal).await?,
        None => Default::default(),
    };
    let buckets = wanted.buckets(&scope);
    if wanted.lacks(&buckets) {
        return Err(HttpError::BucketForbidden);
    }
    let payload = within_limits(&request, payload, &server).await?;
    let (response, session, frames) = actix_ws::handle_with_protocols(&request, payload, &[PROTOCOL])
        .map_err(|_| HttpError::BadRequest("this URL speaks WebSocket: send an upgrade".to_owned()))?;
    let most = limits.max_frame_bytes;
    let frames = frames.max_frame_size(most).aggregate_continuations().max_continuation_size(most);
    // Listening from before the upgrade: what changes while it happens is pinged too.
    listener.listen_to(buckets);
    let outgoing = Outgoing::new(server.admission().bytes(), principal.key());
    let response = response.map_body(|_, body| outgoing.count(body)).map_into_boxed_body();
    let session = (session, outgoing);
    let socket = Socket::new(server.get_ref().clone(), principal, wanted, scope, listener, permit, session);
    rt::spawn(Box::pin(socket.run(frames)));
    Ok(response)
}

/// What the client will send, held to its limits ahead of the codec.
async fn within_limits(request: &HttpRequest, payload: Payload, server: &Server) -> Result<Payload, HttpError> {
    let incoming = Incoming::new(payload, &server.settings().sockets, server.pace());
    Payload::from_request(request, &mut dev::Payload::from(incoming.boxed_local()))
        .await
        .map_err(|_| HttpError::BadRequest("the request has no body to speak over".to_owned()))
}

/// The query as pairs, in order.
pub(super) fn query(request: &HttpRequest) -> Result<Vec<(String, String)>, HttpError> {
    Query::<Vec<(String, String)>>::from_query(request.query_string())
        .map(Query::into_inner)
        .map_err(|_| HttpError::BadRequest("the query does not read".to_owned()))
}

/// The buckets that a query names.
pub(super) fn buckets(query: &[(String, String)]) -> Result<Vec<&str>, HttpError> {
    let named: Vec<&str> = query.iter().filter(|(name, _)| name == "bucket").map(|(_, value)| value.as_str()).collect();
    if named.len() > MAX_NAMED_BUCKETS || named.iter().any(|name| name.len() > MAX_BUCKET_NAME_BYTES) {
        return Err(HttpError::BadRequest(format!(
            "a query names at most {MAX_NAMED_BUCKETS} buckets, each of at most {MAX_BUCKET_NAME_BYTES} bytes"
        )));
    }
    Ok(named)
}
