//! The server's answers: pushes, pulls, files of images and what is asked about blobs.

use crate::blobs;
use crate::fixture::Fixture;
use crate::net::{BLOB, IMAGE, ServerResponse, Truth, pull_start};
use crate::server::Server;
use nizhal_client::transport::Request;
use nizhal_core::wire::{PullRequest, PushRequest, Wire};
use nizhal_runtime::Lines;
use nizhal_runtime::engine::{Engine, Line, PullError};
use nizhal_runtime::store::StoreError;
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

/// What is counted when the server fails at a mutation of which the app says so.
const POISON: &str = "mutation that fails each time";

impl Server {
    /// Answers a request; `None` when the server died of it.
    pub(crate) async fn answer(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        request: &Request,
    ) -> Result<Option<ServerResponse>, String> {
        if request.path == IMAGE {
            return Ok(Some(self.images.answer(&request.body)));
        }
        if request.path == BLOB && self.blobs_away {
            return Ok(Some(ServerResponse::refusal(503, "unavailable", Some(1_000))));
        }
        if self.refused.contains(&request.token) {
            return Ok(Some(ServerResponse::refusal(401, "unauthorized", None)));
        }
        if request.path == BLOB {
            let Some((method, url, body)) = blobs::asked(&request.body) else { return Ok(Some(unreadable())) };
            let answered = self.ask_blobs(fixture, user, &method, &url, &body).await?;
            let took = self.took_fault();
            return Ok(
                answered.map(|(status, body)| ServerResponse { took, ..ServerResponse::of(status, false, body) })
            );
        }
        let Some(engine) = &self.engine else { return Ok(None) };
        let principal = &fixture.users[user];
        let answering = async {
            match request.path {
                "/sync/push" => push(engine, principal, request).await,
                _ => pull(engine, principal, request, self.page_rows).await,
            }
        };
        let given_up = || Ok(ServerResponse::refusal(503, "unavailable", Some(1_000)));
        let Some(answered) = self.under_faults(answering, given_up).await else {
            self.kill(fixture).await;
            self.replayed(fixture).await?;
            return Ok(None);
        };
        if request.path == "/sync/push" {
            self.replayed(fixture).await?;
        }
        let mut answer = answered?;
        answer.era = self.era;
        answer.took = self.took_fault().or_else(|| fails(fixture, request).then_some(POISON));
        if let (Some(cause), None) = (&answer.cause, answer.took) {
            return Err(format!("the server fails at {}: {cause}", request.path));
        }
        if request.path == "/sync/pull" && answer.status == 200 {
            let grown = self.version == 1;
            let asked = pull_start(request).and_then(|start| start.buckets);
            let rows = fixture.shown.rows(&mut self.external, user, grown, asked.as_deref()).await?;
            answer.truth = Some(Rc::new(Truth { rows, grown }));
        }
        Ok(Some(answer))
    }

    /// Asks the endpoints of blobs as a user; the status and the body, or `None` when the server died of it.
    pub(crate) async fn ask_blobs(
        &mut self,
        fixture: &Fixture<'_>,
        user: usize,
        method: &str,
        url: &str,
        body: &[u8],
    ) -> Result<Option<(u16, Vec<u8>)>, String> {
        let (Some(engine), Some(endpoints)) = (&self.engine, &self.blobs) else { return Ok(None) };
        let answering = endpoints.answer(engine, &fixture.users[user], blobs::call(method, url, body));
        let answered = self.under_faults(answering, || (503, Vec::new())).await;
        if answered.as_ref().is_none_or(|(status, _)| *status >= 500) {
            // It may have been done before the server died, or failed.
            let key = url.strip_suffix("/complete").and_then(|rest| rest.rsplit('/').next());
            self.uploaded.extend(key.and_then(|key| self.uploads.get(key)).cloned());
        }
        let Some((status, said)) = answered else {
            self.kill(fixture).await;
            return Ok(None);
        };
        if status == 500 && self.took_fault().is_none() {
            return Err(format!("the server fails at {method} {url}: {}", String::from_utf8_lossy(&said)));
        }
        if let (200, true) = (status, url.ends_with("/complete")) {
            let blob: Value = serde_json::from_slice(&said).unwrap_or_default();
            self.uploaded.insert((user, blob["sha256"].as_str().unwrap_or_default().to_owned()));
        }
        if let (200, true) = (status, url.ends_with("/presign-upload")) {
            let [wanted, begun]: [Value; 2] =
                [body, &said].map(|json| serde_json::from_slice(json).unwrap_or_default());
            if let (Some(sha256), Some(key)) = (wanted["sha256"].as_str(), begun["key"].as_str()) {
                self.uploads.insert(key.to_owned(), (user, sha256.to_owned()));
            }
        }
        Ok(Some((status, said)))
    }
}

async fn push(
    engine: &Engine,
    principal: &nizhal_core::Principal,
    request: &Request,
) -> Result<ServerResponse, String> {
    let Ok(batch) = serde_json::from_slice::<PushRequest>(&request.body) else { return Ok(unreadable()) };
    let reply = engine.push(principal, Wire::Two, batch).await;
    let cause = reply.fault.as_ref().map(|fault| format!("{fault:?}"));
    let (body, fault) = nizhal_runtime::push_body(reply);
    let status = fault.unwrap_or(200);
    Ok(ServerResponse { cause: cause.filter(|_| status == 500), ..ServerResponse::of(status, false, body) })
}

async fn pull(
    engine: &Engine,
    principal: &nizhal_core::Principal,
    request: &Request,
    page_rows: u8,
) -> Result<ServerResponse, String> {
    let Ok(mut wanted) = serde_json::from_slice::<PullRequest>(&request.body) else { return Ok(unreadable()) };
    // A server may always send less than is asked for.
    wanted.limit = Some(i64::from(page_rows));
    let done = |lines, body| ServerResponse::of(200, lines, body);
    if !request.lines {
        return match engine.pull(principal, Wire::Two, wanted).await {
            Ok(page) => Ok(done(false, page.body)),
            Err(error) => Ok(failed(&error)),
        };
    }
    let (to, mut from) = tokio::sync::mpsc::channel(1_000);
    engine.pull_lines(principal, &wanted, &Lines::new(to, Duration::from_secs(60))).await;
    let mut body = Vec::new();
    while let Some(line) = from.recv().await {
        match line {
            Ok(Line::Rows(line) | Line::Last { line, .. }) => body.extend(line),
            Err(error) => return Ok(failed(&error)),
        }
    }
    Ok(done(true, body))
}

/// The answer to what is no request.
fn unreadable() -> ServerResponse {
    ServerResponse::refusal(400, "bad_request", None)
}

/// A server that is older than its database says so; anything else is a fault.
fn failed(error: &PullError) -> ServerResponse {
    let cause = match error {
        PullError::Store(StoreError::OtherRules) => None,
        error => Some(format!("{error:?}")),
    };
    ServerResponse { cause, ..ServerResponse::refusal(503, "unavailable", Some(1_000)) }
}

/// Whether a push has a mutation at which the server fails every time.
fn fails(fixture: &Fixture<'_>, request: &Request) -> bool {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let mutations = body.get("mutations").and_then(Value::as_array).into_iter().flatten();
    mutations
        .map(|mutation| (mutation["name"].as_str().unwrap_or_default(), &mutation["args"]))
        .any(|(name, args)| fixture.fails(name, args))
}
