//! Blobs, for actors: `POST /nizhal/blob/presign-upload`, `POST /nizhal/blob/{key}/complete` and `GET /nizhal/blob/{sha256}/url`.

use super::{bearer, body, error::HttpError, respond::respond};
use crate::{
    blob::{BlobError, Blobs, Declared, Part, Presigned},
    engine::Engine,
    http::Server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::CACHE_CONTROL,
    rt,
    web::{Data, Path, Payload},
};
use nizhal_core::{BlobHash, Bucket, DateTimeUtc, Mime, Principal};
use serde::Deserialize;
use serde_json::{Value, json};

const NOT_CONFIGURED: HttpError = HttpError::NotConfigured("this server has no blob store: set NIZHAL_BLOBS");

/// The blobs of a server that has a store for them; what is sent to another is read, so that its sender reads the answer.
pub(super) async fn blobs<'a>(server: &'a Server, payload: &mut Payload) -> Result<&'a Blobs, HttpError> {
    if server.blobs().is_none() {
        body::drain(payload).await;
    }
    server.blobs().ok_or(NOT_CONFIGURED)
}

/// The body of `presign-upload`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PresignRequest {
    mime: Option<Mime>,
    sha256: Option<BlobHash>,
    size: Option<u64>,
    max_bytes: Option<u64>,
    bucket: Option<String>,
    pub(super) key: Option<String>,
}

pub(super) async fn presign(request: HttpRequest, mut payload: Payload, server: Data<Server>) -> HttpResponse {
    let answering = async {
        let principal = bearer::actor(&server, &request).await?;
        let blobs = blobs(&server, &mut payload).await?;
        server.gate().check(&request)?;
        let mut admitted = server.admission().request(principal.key())?;
        let body = body::read(&request, &mut payload, server.body_limits(), admitted.bytes()).await?;
        let wanted: PresignRequest = body::parse(&body)?;
        let presigned = match wanted.key.as_deref() {
            Some(key) => blobs.resume(principal.key(), key, server.now()).await?,
            None => {
                if let Some(bucket) = &wanted.bucket {
                    let scope = server.scopes().read_now(&server.scopes().of(&principal), &principal).await?;
                    if !scope.iter().any(|held: &Bucket| held.qualified() == *bucket) {
                        return Err(HttpError::BucketForbidden);
                    }
                }
                begin(server.engine(), blobs, &principal, wanted).await?
            }
        };
        Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(shown(presigned)?))
    };
    respond(&server, &request, Box::pin(answering)).await
}

/// Begins an upload; `bucket`, where one is named, is the actor's.
pub(super) async fn begin(
    engine: &Engine,
    blobs: &Blobs,
    principal: &Principal,
    wanted: PresignRequest,
) -> Result<Presigned, HttpError> {
    let text = "name the blob's media type, such as \"mime\": \"image/jpeg\"";
    let mime = wanted.mime.ok_or_else(|| HttpError::BadRequest(text.to_owned()))?;
    let visible = match wanted.sha256 {
        Some(sha256) => engine.visible_blob(principal, sha256).await?,
        None => None,
    };
    let PresignRequest { sha256, size, max_bytes, bucket, .. } = wanted;
    let declared = Declared { mime, sha256, size, max_bytes, bucket };
    let (id, now) = (engine.environment.new_id().simple().to_string(), engine.environment.now());
    Ok(blobs.begin(principal.key(), declared, visible.as_ref(), (id, now)).await?)
}

pub(super) fn shown(presigned: Presigned) -> Result<Value, HttpError> {
    match presigned {
        Presigned::Done(blob) => Ok(json!({"done": true, "blob": blob})),
        Presigned::Parts { key, part_size, parts, expires_s } => {
            // The first part is the only one of most files, so it stands beside the list too.
            let mut shown = match parts.first() {
                Some(first) => json!({"url": first.url, "method": "PUT", "headers": first.headers}),
                None => return Err(BlobError::NotFound.into()),
            };
            shown["key"] = key.into();
            shown["partSize"] = part_size.into();
            shown["parts"] = parts.iter().map(part).collect();
            shown["expires"] = moment(expires_s).into();
            Ok(shown)
        }
    }
}

fn part(part: &Part) -> Value {
    let mut shown = json!({
        "number": part.number,
        "url": part.url,
        "method": "PUT",
        "headers": part.headers,
        "offset": part.offset,
        "size": part.size,
    });
    if part.is_done {
        shown["done"] = true.into();
    }
    shown
}

/// A moment as rows have it, in seconds since the Unix epoch.
pub(super) fn moment(seconds: i64) -> String {
    let moment = DateTimeUtc::from_timestamp(seconds, 0).unwrap_or_default();
    moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

pub(super) async fn complete(
    request: HttpRequest,
    key: Path<String>,
    mut payload: Payload,
    server: Data<Server>,
) -> HttpResponse {
    let answering = async {
        let principal = bearer::actor(&server, &request).await?;
        let blobs = blobs(&server, &mut payload).await?.clone();
        server.gate().check(&request)?;
        let mut admitted = server.admission().request(principal.key())?;
        body::read(&request, &mut payload, server.body_limits(), admitted.bytes()).await?;
        let (turns, now) = (server.admission().uploads().clone(), server.now());
        // A task of its own: a client that hangs up must not stop it between the object and its row.
        let completing = rt::spawn(async move {
            let turn = turns.turn(principal.key()).await;
            let blob = blobs.complete(principal.key(), &key, now).await;
            drop((turn, admitted));
            blob
        });
        let blob = completing.await.map_err(|_| HttpError::Panicked)??;
        Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(blob))
    };
    respond(&server, &request, Box::pin(answering)).await
}

pub(super) async fn url(
    request: HttpRequest,
    sha256: Path<String>,
    mut payload: Payload,
    server: Data<Server>,
) -> HttpResponse {
    let answering = async {
        let principal = bearer::actor(&server, &request).await?;
        let blobs = blobs(&server, &mut payload).await?;
        server.gate().check(&request)?;
        let _admitted = server.admission().request(principal.key())?;
        // A name that is none is answered as one of nothing.
        let sha256: BlobHash = sha256.parse().map_err(|_| HttpError::NotFound)?;
        let visible = server.engine().visible_blob(&principal, sha256).await?;
        let blob = visible.ok_or(HttpError::NotFound)?;
        let signed = blobs.download_url(&blob, principal.key(), server.now().timestamp()).await?;
        let shown = json!({"url": signed.url, "expires": moment(signed.expires_s)});
        Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(shown))
    };
    respond(&server, &request, Box::pin(answering)).await
}
