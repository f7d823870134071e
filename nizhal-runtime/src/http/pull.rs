//! `POST /sync/pull`.

use super::{admission::sent_in_pieces, bearer, body, error::HttpError, gzip, lines, respond::respond, wire};
use crate::{http::Server, observe::PullEvent};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, ContentType, VARY},
    web::{Data, Payload},
};
use nizhal_core::wire::{PullRequest, Wire};
use std::time::Instant;

pub(super) async fn pull(request: HttpRequest, payload: Payload, server: Data<Server>) -> HttpResponse {
    respond(&server.clone(), &request.clone(), Box::pin(answer(request, payload, server))).await
}

async fn answer(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let principal = bearer::actor(&server, &request).await?;
    let wire = wire::of(&request)?;
    server.gate().check(&request)?;
    let mut admitted = server.admission().request(principal.key())?;
    let body = body::read(&request, &mut payload, server.body_limits(), admitted.bytes()).await?;
    let begun = Instant::now();
    let wanted: PullRequest = body::parse(&body)?;
    if wire == Wire::Two && lines::wants_lines(&request) {
        let how = (gzip::accepts_gzip(&request), admitted);
        return lines::answer(server.get_ref().clone(), principal, wanted, how, begun).await;
    }
    let device = wanted.device_id.clone();
    let turn = server.admission().pulls().turn(principal.key()).await;
    let page = server.engine().pull(&principal, wire, wanted).await?;
    drop(turn);
    server.pulled(&PullEvent {
        actor: principal.key(),
        device: device.as_deref(),
        rows: page.rows,
        bytes: page.body.len(),
        reset: page.reset,
        streamed: false,
        duration: begun.elapsed(),
    });
    let (sent, is_packed) = match gzip::accepts_gzip(&request) {
        true => gzip::page(page.body).await,
        false => (page.body.into(), false),
    };
    let mut response = HttpResponse::Ok();
    // Every answer is for one actor and one moment, not only those that reset.
    response.insert_header(ContentType::json()).insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header((VARY, "accept-encoding"));
    if is_packed {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(sent_in_pieces(&mut response, sent, admitted))
}
