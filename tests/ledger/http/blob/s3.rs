//! Blobs in an S3 server: bytes go there and come from there by URLs that it checks.

use super::{bytes, pay};
use crate::fixture::{add, two_shops};
use nizhal_tests::{
    App, Reply, TempDir,
    blob::{S3, hash_of, reference},
    both, verb,
};
use reqwest::Method;
use serde_json::json;

both![inv35_a_photo_travels_by_way_of_s3, inv32_s3_holds_uploads_to_what_was_declared];

async fn on_s3(app: &mut App) -> S3 {
    let s3 = S3::start().await;
    two_shops(app).await;
    app.set_up = s3.set_up(app.set_up.clone());
    app.restart();
    s3
}

async fn inv35_a_photo_travels_by_way_of_s3(mut app: App) {
    let s3 = on_s3(&mut app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    let cem = app.device("c", "cem", "s2");
    add(&mut ana, "c1").await;
    for (id, size) in [("p1", 100_000), ("p2", 20 * 1024 * 1024 + 1)] {
        let photo = bytes(size);
        let blob = app.upload(&ana.token, &photo, "image/svg+xml").await;
        assert!(s3.files("uploads").is_empty(), "no part is left");
        pay(&mut ana, id, "c1", &blob).await.expect(200);
        ben.pull().await;
        assert_eq!(ben.row("ledger_entries", id).expect("a row")["photo"], blob);
        assert!(app.download(&ben.token, &hash_of(&photo)).await == photo);
        app.blob_url(&cem.token, &hash_of(&photo)).await.refused(404, "not_found");
    }
    let url = app.blob_url(&ana.token, &hash_of(&bytes(100_000))).await.expect(200).json();
    let url = url["url"].as_str().expect("a URL");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let answer = app.request_at(Method::GET, url).header("range", "bytes=10-19").send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["content-type"]), (206, &"image/svg+xml".parse().unwrap()));
    assert_eq!(answer.bytes().await.expect("a body"), &bytes(100_000)[10..20]);
    // S3 knows its own signatures.
    let forged = url.replacen("/app/blobs/", "/app/blobs/x", 1);
    assert!(app.request_at(Method::GET, &forged).send().await.expect("an answer").status().is_client_error());
    assert!(app.request_at(Method::PUT, url).body("x").send().await.expect("an answer").status().is_client_error());
}

async fn inv32_s3_holds_uploads_to_what_was_declared(mut app: App) {
    let s3 = on_s3(&mut app).await;
    let ana = app.device("a", "ana", "s1").token;
    let photo = bytes(9 * 1024 * 1024);
    let upload = app.begin_upload(&ana, &photo, "image/png").await;
    // The URL takes any length, and the end tells.
    for (other, missing) in [(vec![b'x'; 1], json!([1, 2])), (bytes(8 * 1024 * 1024), json!([2]))] {
        Reply::of(app.part_request(&upload["parts"][0], other)).await.expect(200);
        assert_eq!(app.complete(&ana, &upload).await.refused(409, "parts_missing").json()["parts"], missing);
    }
    Reply::of(app.part_request(&upload["parts"][0], bytes(8 * 1024 * 1024 + 1))).await.expect(200);
    app.complete(&ana, &upload).await.refused(413, "too_large");
    assert!(s3.files("uploads").is_empty(), "what is too long does not stay for a day");
    app.send_parts(&upload, &bytes(9 * 1024 * 1024 + 1)[1..]).await;
    app.complete(&ana, &upload).await.refused(422, "hash_mismatch");
    assert!(s3.files("uploads").is_empty() && s3.files("blobs").is_empty(), "nothing is left of what was refused");
    app.send_parts(&upload, &photo).await;
    assert_eq!(app.complete(&ana, &upload).await.expect(200).json(), reference(&photo, "image/png"));
    // Where only a bound was declared, the end tells.
    let bound = app.presign(&ana, &json!({"mime": "image/png", "maxBytes": 10})).await.expect(200).json();
    Reply::of(app.part_request(&bound, bytes(11))).await.expect(200);
    app.complete(&ana, &bound).await.refused(413, "too_large");
    // A store that is away is said to be, and nothing is lost.
    drop(s3);
    app.presign(&ana, &reference(&bytes(5), "image/png")).await.expect(200);
    app.complete(&ana, &bound).await.refused(503, "unavailable");
}

#[test]
fn a_store_that_cannot_be_used_is_said_at_the_start() {
    nizhal_tests::play(async || {
        let app = App::start(nizhal_tests::Kind::Sqlite, crate::BINARY).await;
        let folder = TempDir::new("blobs");
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("the folder is ours");
        for (url, sentence) in [
            ("gs://photos".to_owned(), "add the feature `gcs` to the dependency on nizhal"),
            ("az://photos".to_owned(), "add the feature `azure` to the dependency on nizhal"),
            (format!("file://{}/below", file.display()), "the folder cannot be made"),
            ("ftp://photos".to_owned(), "NIZHAL_BLOBS is `ftp://photos`, which is not usable"),
        ] {
            let said = verb(&app.set_up.clone().env("NIZHAL_BLOBS", &url), &["serve"]);
            let text = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(!said.status.success() && text.contains(sentence), "{url}: {text}");
        }
    });
}
