//! One request and its answer, from the store's words to the wire's and back. Nothing is stored here but what must be put aside.

use crate::environment::{Credentials, CredentialsError};
use crate::image::{self, Fetched};
use crate::session::{Failure, FailureKind, Received};
use crate::store::{PullAnswer, PullStart, Store, StoreError};
use crate::transport::{Request, Response, Transport};
use crate::wire::{Named, Pull, Push, Pushed, Refusal};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nizhal_core::wire::MutationResult;

/// How many rows a page is asked for.
const PAGE_ROWS: u32 = 10_000;
/// How much of an answer is held in memory before it is put aside, which costs as much again as storing it.
const MAX_BUFFERED_BYTES: usize = 32 << 20;
/// How large a push's body may be: servers take 1 MiB, and texts grow when they are quoted.
const PUSH_BYTES: usize = 600 << 10;
/// The largest answer that is no rows.
const SMALL_BYTES: usize = 64 << 20;

/// A pull's answer that waits to be stored.
#[derive(Debug)]
pub struct Pulled {
    /// What was asked.
    pub start: PullStart,
    /// What came.
    pub answer: PullAnswer,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token.
    pub token: String,
    /// The contract that the app was built for.
    pub contract_version: String,
}

impl Caller {
    /// The caller for this user, named as in [`Principal::key`](nizhal_core::Principal::key).
    ///
    /// # Errors
    /// When no token can be had, or it is another user's, which would send the first one's outbox in the second one's name.
    pub(crate) async fn of(
        credentials: &dyn Credentials,
        user: &str,
        contract_version: String,
    ) -> Result<Self, Failure> {
        let token = credentials.token().await.map_err(|error| no_token(&error))?;
        if user_of(&token).is_some_and(|speaks| speaks != user) {
            let text = "the token is another user's: open that user's store";
            return Err(Failure::new(FailureKind::Unauthorized, "wrong_user", text));
        }
        Ok(Self { token, contract_version })
    }
}

/// The failure that says why there is no token to send.
pub(crate) fn no_token(error: &CredentialsError) -> Failure {
    let (kind, code) = match error {
        CredentialsError::SignedOut => (FailureKind::Unauthorized, "signed_out"),
        CredentialsError::Unreachable(_) => (FailureKind::Network, "no_credentials"),
    };
    Failure::new(kind, code, error.to_string())
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        error.failure()
    }
}

/// Asks for what is new, and fetches the images that the answer names; `progress` hears how many rows have come.
///
/// # Errors
/// When no whole answer comes, or it is a refusal.
pub async fn pull(
    store: &dyn Store,
    transport: &dyn Transport,
    caller: &Caller,
    streamed: bool,
    progress: &(dyn Fn(Received) + Send + Sync),
) -> Result<Pulled, Failure> {
    let to = (store, transport, caller);
    let (mut pulled, received) = ask(to, streamed, true, progress).await?;
    let Named { images, total } = serde_json::from_slice(&pulled.answer.page).map_err(malformed)?;
    let received = Received { total, ..received };
    progress(received);
    let of_images = |rows| progress(Received { rows: received.rows + rows, ..received });
    match image::fetch(store, transport, &pulled.start, images, &of_images).await? {
        Fetched::All(images) => pulled.answer.images = images,
        // From the same cursor, so that nothing of this answer counts.
        Fetched::Unusable => (pulled, _) = ask(to, streamed, false, progress).await?,
    }
    Ok(pulled)
}

async fn ask(
    (store, transport, caller): (&dyn Store, &dyn Transport, &Caller),
    streamed: bool,
    images: bool,
    progress: &(dyn Fn(Received) + Send + Sync),
) -> Result<(Pulled, Received), Failure> {
    let start = store.begin_pull().await?;
    let seeds = start.seeds.iter().filter(|_| images).map(|seed| seed.seal.as_str()).collect();
    let (buckets, total) = (start.buckets.as_deref(), start.cursor.is_empty());
    let body =
        Pull { cursor: &start.cursor, device_id: &start.client_id, limit: PAGE_ROWS, images, seeds, buckets, total };
    let mut response = transport.send(request("/sync/pull", caller, streamed, &body)).await?;
    if response.status != 200 {
        return Err(refusal(response).await.0);
    }
    if !response.lines {
        let page = whole(&mut response).await?;
        let received = Received { rows: count_rows(&page), total: None };
        return Ok((Pulled { start, answer: PullAnswer { page, ..PullAnswer::default() } }, received));
    }
    let (mut lines, mut buffered_bytes, mut received) = (Vec::new(), 0, Received::default());
    let mut last: Option<Vec<u8>> = None;
    let mut part: Vec<u8> = Vec::new();
    while let Some(chunk) = response.body.chunk().await? {
        let mut rest = chunk.as_slice();
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            part.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut part);
            if let Some(before) = last.replace(line) {
                received.total = received.total.or_else(|| total_of(&before));
                received.rows += count_rows(&before);
                buffered_bytes += before.len();
                lines.push(before);
            }
        }
        part.extend_from_slice(rest);
        progress(received);
        if buffered_bytes > MAX_BUFFERED_BYTES {
            store.spill(&lines).await?;
            (lines, buffered_bytes) = (Vec::new(), 0);
        }
    }
    // The last line carries the cursor: without it nothing of what came before is taken.
    match last {
        Some(page) if part.is_empty() => {
            Ok((Pulled { start, answer: PullAnswer { images: Vec::new(), lines, page } }, received))
        }
        _ => Err(Failure::new(FailureKind::Network, "cut", "the answer was cut")),
    }
}

/// Rows begin with a brace after `[` or `,`; nested objects make it an over-estimate, and it is only for a progress bar.
fn count_rows(line: &[u8]) -> u64 {
    line.windows(2).filter(|pair| matches!(pair, [b'[' | b',', b'{'])).count() as u64
}

/// The total that the first line of an answer says, behind its rows.
fn total_of(line: &[u8]) -> Option<u64> {
    let end = String::from_utf8_lossy(&line[line.len().saturating_sub(40)..]);
    let (_, total) = end.rsplit_once(",\"total\":")?;
    total.strip_suffix('}')?.parse().ok()
}

/// Sends waiting mutations; their answers.
///
/// # Errors
/// When no whole answer comes, or it is a refusal that answers none.
pub async fn push(
    store: &dyn Store,
    transport: &dyn Transport,
    caller: &Caller,
    most: usize,
) -> Result<Vec<MutationResult>, Failure> {
    let mutations = store.batch(most, PUSH_BYTES).await?;
    if mutations.is_empty() {
        return Ok(Vec::new());
    }
    let mut response = transport.send(request("/sync/push", caller, false, &Push { mutations: &mutations })).await?;
    if response.status == 200 {
        let body = whole(&mut response).await?;
        let pushed: Result<Pushed, _> = serde_json::from_slice(&body);
        return pushed.map(|pushed| pushed.results).map_err(malformed);
    }
    let (failure, results) = refusal(response).await;
    // What came before the failure is final; the failure itself comes again.
    if results.is_empty() { Err(failure) } else { Ok(results) }
}

fn request(path: &'static str, caller: &Caller, lines: bool, body: &impl serde::Serialize) -> Request {
    let Caller { token, contract_version } = caller.clone();
    Request { path, token, contract_version, lines, body: serde_json::to_vec(body).unwrap_or_default() }
}

pub(crate) async fn whole(response: &mut Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(mut chunk) = response.body.chunk().await? {
        body.append(&mut chunk);
        if body.len() > SMALL_BYTES {
            return Err(Failure::new(FailureKind::Malformed, "too_long", "the answer has no end"));
        }
    }
    Ok(body)
}

pub(crate) fn malformed(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Malformed, "malformed", format!("the answer is not the protocol's: {error}"))
}

/// Sorts a refusal into what may be done about it.
pub(crate) async fn refusal(mut response: Response) -> (Failure, Vec<MutationResult>) {
    let status = response.status;
    let body = match whole(&mut response).await {
        Ok(body) => body,
        Err(failure) => return (failure, Vec::new()),
    };
    // A body that is not ours says no more than its status.
    let Refusal { code, error, results, sha256 } = serde_json::from_slice(&body).unwrap_or_default();
    let kind = match (status, code.as_deref()) {
        (401, _) => FailureKind::Unauthorized,
        (409, Some("blob_missing")) => FailureKind::BlobMissing,
        (413, _) => FailureKind::TooLarge,
        (426, _) => FailureKind::UpgradeRequired,
        (400, Some(_)) => FailureKind::BadRequest,
        // Of gateways too, whose server is away for now.
        (429 | 502..=504, _) => FailureKind::Busy,
        (500.., _) => FailureKind::ServerError,
        _ => FailureKind::Refused,
    };
    let code = code.unwrap_or_else(|| format!("http_{status}"));
    let message = error.unwrap_or_else(|| format!("the server answered {status}"));
    let blobs = sha256.iter().filter_map(|text| text.parse().ok()).collect();
    (Failure { kind, code, message, retry_after_ms: response.retry_after_ms, blobs }, results)
}

/// Whom a bearer token speaks for, if it is a JWT that says so, in the words of [`Principal::key`]. Not verified: the server does
/// that.
///
/// [`Principal::key`]: nizhal_core::Principal::key
pub(crate) fn user_of(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let (owner, user) = (claims.get("ownerId")?.as_str()?, claims.get("userId")?.as_str()?);
    Some(serde_json::json!([owner, user]).to_string())
}
