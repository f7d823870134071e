//! Invariants 35 and 36, and the URLs of blobs: `flow` in the usual order, `hostile` in any other, `crash` and `collect` between the
//! steps, `s3` with a store that is another server.

mod collect;
mod crash;
mod flow;
mod hostile;
mod s3;

use crate::fixture::two_shops;
use nizhal_tests::{App, Connection, Device, Reply, TempDir, both, token};
use reqwest::Method;
use serde_json::{Value, json};

both![blobs_are_not_configured];

async fn blobs_are_not_configured(app: App) {
    two_shops(&app).await;
    let ana = token::signed(&token::claims("ana", Some("s1")));
    let posts = ["/nizhal/blob/presign-upload", "/nizhal/blob/b1/complete"].map(|path| (Method::POST, path));
    for (method, path) in posts.into_iter().chain([(Method::GET, "/nizhal/blob/b1/url")]) {
        Reply::of(app.request(method.clone(), path).body("{}")).await.refused(401, "unauthorized");
        Reply::of(app.request(method, path).bearer_auth(&ana).body("{}")).await.refused(501, "not_configured");
    }
    let signed = "/nizhal/blob/b1?token=t&expires=1";
    Reply::of(app.request(Method::GET, signed)).await.refused(501, "not_configured");
    // Its sender reads the answer, though nobody wants the bytes.
    let put = app.request(Method::PUT, signed).body(vec![b'x'; 2 * 1024 * 1024]);
    Reply::of(put).await.refused(501, "not_configured");
    Reply::of(app.request(Method::GET, "/nizhal/blob")).await.refused(404, "not_found");
    for (method, path) in [(Method::DELETE, signed), (Method::POST, signed), (Method::PUT, "/nizhal/blob/b1/url")] {
        Reply::of(app.request(method, path)).await.refused(405, "method_not_allowed");
    }
}

/// An app with two shops that keeps blobs in a folder.
async fn with_folder(app: &mut App) -> (Connection, TempDir) {
    let folder = TempDir::new("blobs");
    app.set_up = app.set_up.clone().env("NIZHAL_BLOBS", &format!("file://{}", folder.path().display()));
    app.restart();
    (two_shops(app).await, folder)
}

/// Writes down a payment that names a photo.
async fn pay(device: &mut Device, id: &str, customer: &str, photo: &Value) -> Reply {
    device.mutate("recordPayment", &payment(id, customer, photo)).await
}

fn payment(id: &str, customer: &str, photo: &Value) -> Value {
    json!({"clientId": id, "customerId": customer, "amount": "5.00", "photo": photo})
}

/// Bytes that are not the same anywhere.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}
