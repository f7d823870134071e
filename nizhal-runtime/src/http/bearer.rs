//! The bearer of a request: the token from the header or, on the WebSocket, from the query.

use super::{credentials::credentials, error::HttpError};
use crate::{auth::AuthError, http::Server};
use actix_web::{HttpMessage, HttpRequest, http::header};
use nizhal_core::{Principal, limits::MAX_IDENTIFIER_BYTES};

/// The verified actor behind `Authorization: Bearer …`, within its rate.
pub(crate) async fn actor(server: &Server, request: &HttpRequest) -> Result<Principal, HttpError> {
    verify(server, request, from_header(request).ok_or(AuthError::Missing)?).await
}

/// The same for a WebSocket, where browsers cannot set a header: the query and the subprotocols count too.
pub(crate) async fn socket_actor(
    server: &Server,
    request: &HttpRequest,
    query: &[(String, String)],
) -> Result<Principal, HttpError> {
    let token = from_header(request).or_else(|| from_query(query)).or_else(|| from_protocols(request));
    verify(server, request, token.ok_or(AuthError::Missing)?).await
}

/// Left on a request, so that whoever tells of its error can say whose it was.
struct Verified(String);

/// The key of the request's actor, once the token was verified.
pub(super) fn verified(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<Verified>().map(|verified| verified.0.clone())
}

async fn verify(server: &Server, request: &HttpRequest, token: &str) -> Result<Principal, HttpError> {
    let principal = server.authenticator().authenticate(token, server.now()).await?;
    // It is the first part of keys, beside an identifier of that length; Postgres has no room for more in an index.
    if principal.key().len() > MAX_IDENTIFIER_BYTES {
        return Err(AuthError::TooLong.into());
    }
    if !server.observers().is_empty() {
        request.extensions_mut().insert(Verified(principal.key().to_owned()));
    }
    if let Some(limiter) = server.limiter() {
        limiter.check(principal.key())?;
    }
    Ok(principal)
}

fn from_header(request: &HttpRequest) -> Option<&str> {
    credentials(request).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token)
}

/// `authorization=` whatever its case, with `Bearer ` or without; or `token=`.
fn from_query(query: &[(String, String)]) -> Option<&str> {
    let value = |wanted: &str| query.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
    let (_, value) = value("authorization").or_else(|| value("token"))?;
    let value = value.trim();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim()),
        _ => Some(value),
    }
}

/// `bearer.<token>` among the subprotocols; a URL ends up in logs, they do not.
fn from_protocols(request: &HttpRequest) -> Option<&str> {
    let lists = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|list| list.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|protocol| protocol.trim().strip_prefix("bearer."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn with_header(value: &str) -> HttpRequest {
        TestRequest::default().insert_header((header::AUTHORIZATION, value)).to_http_request()
    }

    #[test]
    fn tokens_in_the_header() {
        assert_eq!(from_header(&with_header("Bearer abc")), Some("abc"));
        assert_eq!(from_header(&with_header("bearer  abc ")), Some("abc"));
        for none in ["abc", "Basic abc", "Bearer"] {
            assert_eq!(from_header(&with_header(none)), None, "{none}");
        }
    }

    #[test]
    fn tokens_in_the_query() {
        let find = |name: &str, value: &str| {
            from_query(&[("bucket".to_owned(), "s1".to_owned()), (name.to_owned(), value.to_owned())])
                .map(str::to_owned)
        };
        for (name, value) in [
            ("authorization", "Bearer abc"),
            ("Authorization", "abc"),
            ("AUTHORIZATION", "bearer abc"),
            ("token", "abc"),
        ] {
            assert_eq!(find(name, value).as_deref(), Some("abc"), "{name}={value}");
        }
        assert_eq!(find("auth", "abc"), None);
    }

    #[test]
    fn tokens_among_the_subprotocols() {
        let find = |value: &str| {
            let request =
                TestRequest::default().insert_header((header::SEC_WEBSOCKET_PROTOCOL, value)).to_http_request();
            from_protocols(&request).map(str::to_owned)
        };
        assert_eq!(find("nizhal, bearer.a.b-c_d").as_deref(), Some("a.b-c_d"));
        assert_eq!(find("bearer.abc,nizhal").as_deref(), Some("abc"));
        assert_eq!(find("nizhal, bearerabc"), None);
    }
}
