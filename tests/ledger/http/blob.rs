//! The URLs of blobs on a server without a blob store.

use crate::fixture::two_shops;
use nizhal_tests::{App, Reply, both, token};
use reqwest::Method;

both![blobs_are_not_configured];

async fn blobs_are_not_configured(app: App) {
    two_shops(&app).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    for (method, path) in [(Method::POST, "/nizhal/blob/presign-upload"), (Method::GET, "/nizhal/blob/b1/url")] {
        Reply::of(app.request(method.clone(), path).body("{}")).await.refused(401, "unauthorized");
        Reply::of(app.request(method, path).bearer_auth(&ana).body("{}")).await.refused(501, "not_configured");
    }
    let signed = "/nizhal/blob/b1?token=t&expires=1";
    Reply::of(app.request(Method::GET, signed)).await.refused(501, "not_configured");
    // Its sender reads the answer, though nobody wants the bytes.
    let put = app.request(Method::PUT, signed).body(vec![b'x'; 2 * 1024 * 1024]);
    Reply::of(put).await.refused(501, "not_configured");
    for (method, path) in [(Method::GET, "/nizhal/blob/a/b/c"), (Method::GET, "/nizhal/blob")] {
        Reply::of(app.request(method, path)).await.refused(404, "not_found");
    }
    for (method, path) in [(Method::DELETE, signed), (Method::PUT, "/nizhal/blob/b1/url")] {
        Reply::of(app.request(method, path)).await.refused(405, "method_not_allowed");
    }
}
