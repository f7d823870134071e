//! CORS as the settings say; only for our own server, an embedding app has its own.

use crate::settings::Cors as Setting;
use actix_cors::Cors;
use actix_web::middleware::Condition;

pub(crate) fn middleware(setting: &Setting) -> Condition<Cors> {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PUT"])
        .allowed_headers(["authorization", "content-type", "accept", "x-nizhal-contract-version", "x-nizhal-wire"])
        // Of blobs: a part of one, and one that a page has already.
        .allowed_headers(["range", "if-range", "if-none-match"])
        .expose_headers(["retry-after", "etag", "content-range", "accept-ranges"])
        .max_age(600);
    match setting {
        Setting::Off => Condition::new(false, cors),
        Setting::Any => Condition::new(true, cors.allow_any_origin().send_wildcard()),
        Setting::Origins(origins) => {
            Condition::new(true, origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin)))
        }
    }
}
