//! `POST /sync/push`.

use super::{
    bearer, body,
    error::HttpError,
    outcome::{outcome, status_and_code},
    respond::respond,
    wire,
};
use crate::{
    counts::status_name,
    engine::PushReply,
    http::Server,
    observe::{PushEvent, PushedMutation},
};
use actix_web::{
    HttpRequest, HttpResponse, rt,
    web::{Data, Payload},
};
use nizhal_core::limits::{MAX_DEPENDS_ON, MAX_MUTATIONS};
use nizhal_core::wire::{Mutation, MutationStatus, PushRequest, Wire};
use std::time::Instant;
use tokio::runtime::Handle;

/// Bodies up to here take no time to speak of, unless they are updates of documents that may be large.
const INLINE_BYTES: usize = 16 * 1024;

pub(super) async fn push(request: HttpRequest, payload: Payload, server: Data<Server>) -> HttpResponse {
    respond(&server.clone(), &request.clone(), Box::pin(answer(request, payload, server))).await
}

async fn answer(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let principal = bearer::actor(&server, &request).await?;
    let wire = wire::of(&request)?;
    server.gate().check(&request)?;
    let mut admitted = server.admission().request(principal.key())?;
    let body = body::read(&request, &mut payload, server.body_limits(), admitted.bytes()).await?;
    let (begun, bytes) = (Instant::now(), body.len());
    let batch: PushRequest = body::parse(&body)?;
    drop(body);
    let misfit = |mutation: &&Mutation| !mutation.depends_on.is_list();
    if let (Wire::Two, Some(mutation)) = (wire, batch.mutations.iter().find(misfit)) {
        let text = format!("`dependsOn` of `{}` is no list of clientMutationIds", mutation.client_mutation_id);
        return Err(HttpError::BadRequest(text));
    }
    let long = batch.mutations.iter().find(|mutation| mutation.depends_on.is_too_long());
    if let (Wire::Two, Some(mutation)) = (wire, long) {
        let text =
            format!("`dependsOn` of `{}` names more than {MAX_DEPENDS_ON} mutations", mutation.client_mutation_id);
        return Err(HttpError::BadRequest(text));
    }
    let count = batch.mutations.len();
    if count > MAX_MUTATIONS {
        let text = format!("a push carries at most {MAX_MUTATIONS} mutations, this one {count}; send several");
        return Err(HttpError::BadRequest(text));
    }
    // A task of its own: a client that hangs up must not stop a mutation between its commit and its pings.
    let engine = server.engine().clone();
    let (actor, names) = (principal.key().to_owned(), names(&server, &batch));
    let turns = server.admission().pushes().clone();
    let is_heavy = bytes > INLINE_BYTES || engine.schema.merges_documents();
    let pushing = rt::spawn(async move {
        let turn = turns.turn(principal.key()).await;
        let push = async move { engine.push(&principal, wire, batch).await };
        let reply = if is_heavy { off_this_thread(push).await } else { Ok(push.await) };
        // In flight until its end, whoever hung up.
        drop((turn, admitted));
        reply
    });
    let reply = pushing.await.map_err(|_| HttpError::Panicked)??;
    report_push(
        &server,
        &reply,
        &PushEvent { actor: &actor, mutations: &[], bytes, duration: begun.elapsed() },
        &names,
    );
    let (outcome, failure) = outcome(wire, reply);
    match failure {
        None => Ok(HttpResponse::Ok().json(outcome)),
        Some(failure) => Err(HttpError::Push { failure, outcome }),
    }
}

/// Runs a push on a thread that no other request waits for: large JSON and large documents take their time.
async fn off_this_thread<T: Send + 'static>(push: impl Future<Output = T> + Send + 'static) -> Result<T, HttpError> {
    let runtime = Handle::current();
    rt::task::spawn_blocking(move || runtime.block_on(push)).await.map_err(|_| HttpError::Panicked)
}

/// The mutators' names and the clients, for observers; nothing when there are none.
fn names(server: &Server, batch: &PushRequest) -> Vec<(String, Option<String>)> {
    if server.observers().is_empty() {
        return Vec::new();
    }
    batch.mutations.iter().map(|mutation| (mutation.name.clone(), mutation.client_id.clone())).collect()
}

/// Counts the push, and reports it to the observers.
fn report_push(server: &Server, reply: &PushReply, event: &PushEvent<'_>, names: &[(String, Option<String>)]) {
    let mut failed = reply.fault.is_some();
    let mut mutations = Vec::with_capacity(names.len());
    for (index, answer) in reply.answers.iter().enumerate() {
        let (status, code) = status_and_code(answer);
        server.counts().mutation(status);
        failed |= !matches!(status, MutationStatus::Applied | MutationStatus::Duplicate);
        if let Some((name, device)) = names.get(index) {
            let mutation = PushedMutation::new(name, &answer.client_mutation_id, status_name(status));
            mutations.push(PushedMutation { device: device.as_deref(), code, ..mutation });
        }
    }
    server.counts().pushed(failed, event.duration);
    server.observers().push(&PushEvent { mutations: &mutations, ..*event });
}
