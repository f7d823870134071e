//! `GET /nizhal/blob/{path}`: the bytes of a blob, or a range of them.
//!
//! What is sent was uploaded by somebody: browsers are told not to guess its type, to run nothing of it, and to save it where it is opened
//! as a page.

use super::{admission::Admitted, blob::blobs, blob_range, error::HttpError, respond::respond};
use crate::{
    blob::{BlobError, Method, Piece},
    http::Server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    http::header::{self, HeaderName},
    web::{Bytes, Data, Path, Payload},
};
use futures_util::StreamExt;
use std::{
    pin::Pin,
    task::{Context, Poll},
};

/// Nothing of a blob runs, whatever it is.
const SANDBOX: &str = "default-src 'none'; sandbox";
/// A URL ends after minutes; what was read by it never changes.
const KEPT: &str = "private, max-age=31536000, immutable";

pub(super) async fn read(
    request: HttpRequest,
    path: Path<String>,
    mut payload: Payload,
    server: Data<Server>,
) -> HttpResponse {
    let answering = async {
        let blobs = blobs(&server, &mut payload).await?;
        let signed = blobs.verify(Method::Get, &path, request.query_string(), server.now().timestamp()).await?;
        let admitted = server.admission().request(&signed.by)?;
        let (Some(sha256), Some(mime)) = (signed.sha256, signed.mime) else { return Err(HttpError::NotFound) };
        let tag = format!("\"{sha256}\"");
        let mut response = HttpResponse::Ok();
        for (name, value) in [
            (header::ETAG, tag.as_str()),
            (header::CACHE_CONTROL, KEPT),
            (header::CONTENT_SECURITY_POLICY, SANDBOX),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CONTENT_DISPOSITION, "attachment"),
            (header::ACCEPT_RANGES, "bytes"),
            // As it is, whatever the reader takes: ranges are of these bytes, and a reader that kept the beginning of a compressed answer
            // could not go on with them.
            (header::CONTENT_ENCODING, "identity"),
        ] {
            response.insert_header((name, value));
        }
        if text(&request, &header::IF_NONE_MATCH).is_some_and(|tags| names(tags, &tag)) {
            return Ok(response.status(actix_web::http::StatusCode::NOT_MODIFIED).finish());
        }
        let size = blobs.objects().size(&signed.path).await.map_err(BlobError::from)?.ok_or(HttpError::NotFound)?;
        // A range of another content than the reader has the rest of is of no use.
        let is_same = text(&request, &header::IF_RANGE).is_none_or(|known| known.trim() == tag);
        let range = blob_range::wanted(text(&request, &header::RANGE).filter(|_| is_same), size)?;
        if let Some(range) = &range {
            response.status(actix_web::http::StatusCode::PARTIAL_CONTENT);
            let of = format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1));
            response.insert_header((header::CONTENT_RANGE, of));
        }
        let left = range.as_ref().map_or(size, |range| range.end - range.start);
        let bytes = blobs.objects().read(&signed.path, range).await.map_err(BlobError::from)?;
        response.insert_header((header::CONTENT_TYPE, mime.as_str()));
        Ok(response.body(Download { bytes, left, _admitted: admitted }))
    };
    respond(&server, &request, Box::pin(answering)).await
}

/// A header of the request, as text.
fn text<'a>(request: &'a HttpRequest, name: &HeaderName) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

/// Whether a list of entity tags has this one, weak or strong, or stands for any.
fn names(tags: &str, tag: &str) -> bool {
    tags.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Bytes on their way; the request counts until the last of them is taken.
struct Download {
    bytes: Piece,
    left: u64,
    _admitted: Admitted,
}

impl MessageBody for Download {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.left)
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.bytes.poll_next_unpin(context).map(|next| next.map(|bytes| bytes.map_err(Into::into)))
    }
}
