//! `GET /sync/realtime/authorize`: whether the actor holds one bucket.

use super::{
    bearer,
    error::HttpError,
    respond::respond,
    stream::{buckets, query},
    wire,
};
use crate::http::Server;
use actix_web::{HttpRequest, HttpResponse, web::Data};

pub(super) async fn authorize(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(&server.clone(), &request.clone(), Box::pin(answer(request, server))).await
}

async fn answer(request: HttpRequest, server: Data<Server>) -> Result<HttpResponse, HttpError> {
    let query = query(&request)?;
    let principal = bearer::socket_actor(&server, &request, &query).await?;
    let wire = wire::of_query(&request, &query)?;
    let named = buckets(&query)?;
    let [bucket] = named.as_slice() else {
        return Err(HttpError::BadRequest("name one bucket: ?bucket=…".to_owned()));
    };
    let scope_cell = server.scopes().of(&principal);
    let scope = server.scopes().read_now(&scope_cell, &principal).await?;
    if scope.iter().any(|held| held.name_in(wire) == **bucket) {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(HttpError::BucketForbidden)
    }
}
