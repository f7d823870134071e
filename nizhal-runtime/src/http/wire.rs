//! The door: which wire a request asks for.

use super::error::HttpError;
use actix_web::HttpRequest;
use nizhal_core::wire::Wire;

/// The header by which a client names its wire.
const HEADER: &str = "x-nizhal-wire";

/// The wire that the header names.
pub(super) fn of(request: &HttpRequest) -> Result<Wire, HttpError> {
    // A header that is no text names no wire.
    let named = request.headers().get(HEADER).map(|value| value.to_str().unwrap_or(""));
    parse(named)
}

/// The same for URLs that a browser opens without headers of its own: `?wire=` comes before the header.
pub(super) fn of_query(request: &HttpRequest, query: &[(String, String)]) -> Result<Wire, HttpError> {
    match query.iter().find(|(name, _)| name == "wire") {
        Some((_, named)) => parse(Some(named)),
        None => of(request),
    }
}

fn parse(named: Option<&str>) -> Result<Wire, HttpError> {
    Wire::parse(named).ok_or_else(|| HttpError::BadRequest("this server speaks wire 1 and wire 2".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_query_comes_before_the_header() {
        let plain = TestRequest::default().to_http_request();
        let two = TestRequest::default().insert_header((HEADER, "2")).to_http_request();
        let query = |value: &str| vec![("wire".to_owned(), value.to_owned())];
        assert_eq!(of(&plain).unwrap(), Wire::One);
        assert_eq!(of(&two).unwrap(), Wire::Two);
        assert_eq!(of_query(&two, &[]).unwrap(), Wire::Two);
        assert_eq!(of_query(&two, &query("1")).unwrap(), Wire::One);
        assert_eq!(of_query(&plain, &query("2")).unwrap(), Wire::Two);
        assert!(matches!(of_query(&two, &query("3")), Err(HttpError::BadRequest(_))));
    }
}
