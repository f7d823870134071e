//! The credentials of a request: the header `Authorization`, taken apart.

use actix_web::{HttpRequest, http::header};

/// The scheme and the rest of `Authorization`.
pub(super) fn credentials(request: &HttpRequest) -> Option<(&str, &str)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.trim().split_once(' ')?;
    Some((scheme, rest.trim()))
}
