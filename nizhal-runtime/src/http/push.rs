//! `POST /sync/push`.

use super::{
    bearer, body,
    error::{HttpError, respond},
    outcome::outcome,
    wire,
};
use crate::server::Server;
use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload},
};
use nizhal_core::wire::PushRequest;

/// The most mutations in one batch.
const MAX_MUTATIONS: usize = 1000;

pub(super) async fn push(request: HttpRequest, payload: Payload, server: Data<Server>) -> HttpResponse {
    respond(Box::pin(answer(request, payload, server))).await
}

async fn answer(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let principal = bearer::actor(&server, &request).await?;
    let wire = wire::of(&request)?;
    server.gate().check(&request)?;
    let body = body::read(&request, &mut payload, server.settings().max_body_bytes).await?;
    let batch: PushRequest = body::parse(&body)?;
    drop(body);
    let count = batch.mutations.len();
    if count > MAX_MUTATIONS {
        let text = format!("a push carries at most {MAX_MUTATIONS} mutations, this one {count}; send several");
        return Err(HttpError::BadRequest(text));
    }
    // A task of its own: a client that hangs up must not stop a mutation between its commit and its pings.
    let engine = server.engine().clone();
    let pushing = rt::spawn(async move { engine.push(&principal, wire, batch).await });
    let reply = pushing.await.map_err(|_| HttpError::Panicked)?;
    let refused = reply.answers.iter().filter(|answer| answer.verdict.failure().is_some()).count();
    server.counts().pushed(reply.answers.len() - refused, refused > 0 || reply.fault.is_some());
    let (outcome, failure) = outcome(wire, reply);
    match failure {
        None => Ok(HttpResponse::Ok().json(outcome)),
        Some(failure) => Err(HttpError::Push { failure, outcome }),
    }
}
