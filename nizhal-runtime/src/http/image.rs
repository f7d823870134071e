//! `GET /sync/image`: the file of a bucket's image, for an app that ships it.

use super::{
    bearer,
    error::HttpError,
    respond::respond,
    stream::{buckets, query},
};
use crate::{engine::ImageFileAnswer, http::Server};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER},
    web::Data,
};
use nizhal_core::wire::Wire;
use serde_json::json;

const NO_STORE: HttpError = HttpError::NotConfigured(
    "this server makes no images: set NIZHAL_BLOBS, where it keeps them, and leave NIZHAL_IMAGE_MIN_ROWS on",
);
/// When to ask again while one is made, in seconds.
const ASK_AGAIN_S: u64 = 5;

pub(super) async fn image(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(&server.clone(), &request.clone(), Box::pin(answer(request, server))).await
}

async fn answer(request: HttpRequest, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let principal = bearer::actor(&server, &request).await?;
    let query = query(&request)?;
    let named = buckets(&query)?;
    let [name] = named.as_slice() else {
        return Err(HttpError::BadRequest("name one bucket: ?bucket=rule:value".to_owned()));
    };
    let scope = server.engine().scope(&principal).await?;
    let held = scope.iter().find(|held| held.name_in(Wire::Two) == **name);
    let bucket = held.ok_or(HttpError::BucketForbidden)?;
    Ok(match server.engine().image_file(&principal, bucket).await? {
        ImageFileAnswer::Url(url) => {
            // The bytes come from the object store; the URL is good for minutes.
            HttpResponse::SeeOther().insert_header((LOCATION, url)).insert_header((CACHE_CONTROL, "no-store")).finish()
        }
        ImageFileAnswer::InTheMaking => HttpResponse::Accepted()
            .insert_header((RETRY_AFTER, ASK_AGAIN_S))
            .insert_header((CACHE_CONTROL, "no-store"))
            .json(json!({"making": true})),
        ImageFileAnswer::Impossible => return Err(HttpError::NotFound),
        ImageFileAnswer::Off => return Err(NO_STORE),
    })
}
