//! `PUT /nizhal/blob/{path}`: a part of an upload, written to the disk as it comes.

use super::{blob::blobs, body, error::HttpError, pace::Pace, respond::respond};
use crate::{
    blob::{BlobError, Method, Objects, PartLength},
    http::Server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Data, Path, Payload},
};
use futures_util::StreamExt;
use tokio::time::Instant;

pub(super) async fn write(
    request: HttpRequest,
    path: Path<String>,
    mut payload: Payload,
    server: Data<Server>,
) -> HttpResponse {
    let answering = async {
        let blobs = blobs(&server, &mut payload).await?;
        let opened = async {
            let signed = blobs.verify(Method::Put, &path, request.query_string(), server.now().timestamp()).await?;
            let (upload, length) = blobs.part(&signed.path, server.now()).await?;
            let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
            if let Some(declared) = declared.and_then(|value| value.parse().ok()) {
                length.check(declared)?;
            }
            Ok((server.admission().request(&upload.actor)?, signed.path, length))
        };
        let (admitted, path, length) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                body::drain(&mut payload).await;
                return Err(error);
            }
        };
        let mut writer = blobs.objects().write(&path).map_err(BlobError::from)?;
        let (pace, stopped) = server.part_limits();
        let written = tokio::select! {
            written = receive(&mut payload, &mut writer, length, pace) => written,
            () = stopped => Err(HttpError::Stopping),
        };
        drop(admitted);
        if let Err(error) = written {
            // What came of it is of no use, and the error is what counts.
            let _ = writer.abort().await;
            if matches!(error, HttpError::Blob(BlobError::TooLarge { .. })) {
                body::drain(&mut payload).await;
            }
            return Err(error);
        }
        Objects::finish(&mut writer).await.map_err(BlobError::from)?;
        Ok(HttpResponse::NoContent().finish())
    };
    respond(&server, &request, Box::pin(answering)).await
}

/// Writes what comes, at least at its pace, and holds it to its length.
async fn receive(
    payload: &mut Payload,
    writer: &mut object_store::buffered::BufWriter,
    length: PartLength,
    pace: Pace,
) -> Result<(), HttpError> {
    let (begun, mut bytes) = (Instant::now(), 0_u64);
    loop {
        let moved = usize::try_from(bytes).unwrap_or(usize::MAX);
        let next = tokio::time::timeout_at(pace.deadline(begun, moved), payload.next()).await;
        let Some(chunk) = next.map_err(|_| HttpError::BodyTooSlow)? else { break };
        let chunk = chunk.map_err(|_| HttpError::BadRequest("the body ended early".to_owned()))?;
        bytes += chunk.len() as u64;
        if bytes > length.most() {
            return Err(BlobError::TooLarge { bytes, limit: length.most() }.into());
        }
        writer.put(chunk).await.map_err(BlobError::from)?;
    }
    Ok(length.check(bytes)?)
}
