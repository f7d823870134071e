//! `GET /nizhal/contract`.

use crate::http::Server;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, ContentType, ETAG, IF_NONE_MATCH},
    web::{Bytes, Data},
};

pub(super) async fn contract(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    let contract = server.contract();
    let tag = format!("\"{}\"", contract.hash());
    let known = request.headers().get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, "no-cache"));
    if known {
        response.finish()
    } else {
        response.insert_header(ContentType::json()).body(Bytes::from_owner(contract.bytes()))
    }
}
