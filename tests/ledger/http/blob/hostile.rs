//! Uploads and URLs as nobody should send them.

use super::{bytes, pay, with_folder};
use crate::fixture::add;
use nizhal_tests::{
    App, Reply,
    blob::{files, hash_of, reference},
    both,
};
use reqwest::{Body, Method};
use serde_json::{Value, json};

both![
    inv32_what_is_declared_wrongly_is_refused,
    inv32_what_is_sent_is_held_to_what_was_declared,
    inv36_a_url_is_good_for_nothing_else,
    inv35_what_is_served_was_checked,
    inv28_one_actor_declares_so_many_bytes_a_day,
];

async fn inv32_what_is_declared_wrongly_is_refused(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    app.set_up = app.set_up.clone().env("NIZHAL_BLOB_MIMES", "image/*").env("NIZHAL_BLOB_MAX_BYTES", "5000");
    app.restart();
    let ana = app.device("a", "ana", "s1").token;
    let hash = hash_of(b"x");
    for (declared, status, code) in [
        (json!({}), 400, "bad_request"),
        (json!({"mime": "image/png"}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 0}), 400, "bad_request"),
        (json!({"mime": "image/png", "maxBytes": 0}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": -1}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 1.5}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 9, "maxBytes": 8}), 400, "bad_request"),
        (json!({"mime": "image/png; x=y", "size": 1}), 400, "bad_request"),
        (json!({"mime": "image", "size": 1}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 1, "sha256": hash.to_uppercase()}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 1, "sha256": "x"}), 400, "bad_request"),
        (json!({"mime": "image/png", "size": 5_001}), 413, "too_large"),
        (json!({"mime": "image/png", "maxBytes": 5_001}), 413, "too_large"),
        (json!({"mime": "image/png", "size": u64::MAX}), 413, "too_large"),
        (json!({"mime": "text/html", "size": 1}), 415, "mime_refused"),
        (json!({"key": "nothing"}), 404, "not_found"),
        (json!({"key": "../../etc/passwd"}), 404, "not_found"),
    ] {
        let refused = app.presign(&ana, &declared).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (status, Some(code)), "{declared}");
    }
    app.presign(&ana, &json!({"mime": "image/png", "size": 5_000})).await.expect(200);
    // Another's upload is as little there as one that was never begun.
    let ben = app.device("b", "ben", "s1").token;
    let upload = app.begin_upload(&ana, b"x", "image/png").await;
    let nothing = app.presign(&ben, &json!({"key": "nothing"})).await.refused(404, "not_found").text;
    assert_eq!(app.presign(&ben, &json!({"key": upload["key"]})).await.refused(404, "not_found").text, nothing);
    app.send_parts(&upload, b"x").await;
    assert_eq!(app.complete(&ben, &upload).await.refused(404, "not_found").text, nothing);
    app.complete(&ana, &upload).await.expect(200);
    // A type that is no longer taken ends an upload that began before.
    let upload = app.begin_upload(&ana, b"y", "image/png").await;
    app.send_parts(&upload, b"y").await;
    app.set_up = app.set_up.clone().env("NIZHAL_BLOB_MIMES", "video/*");
    app.restart();
    app.complete(&ana, &upload).await.refused(415, "mime_refused");
}

/// A body whose length nobody says before.
fn chunked(bytes: &[u8]) -> Body {
    let chunks: Vec<_> = bytes.chunks(7_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    Body::wrap_stream(futures_util::stream::iter(chunks))
}

async fn inv32_what_is_sent_is_held_to_what_was_declared(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let ana = app.device("a", "ana", "s1").token;
    let photo = bytes(100_000);
    let upload = app.begin_upload(&ana, &photo, "image/png").await;
    let url = upload["url"].as_str().expect("a URL");
    let put = async |body: Body| Reply::of(app.request(Method::PUT, url).body(body)).await;
    let long = [&photo[..], b"x"].concat();
    put(long.clone().into()).await.refused(413, "too_large");
    put(chunked(&long)).await.refused(413, "too_large");
    put(chunked(&bytes(9_000_000))).await.refused(413, "too_large");
    put(photo[1..].to_vec().into()).await.refused(400, "bad_request");
    put(chunked(&photo[1..])).await.refused(400, "bad_request");
    put(Vec::new().into()).await.refused(400, "bad_request");
    assert!(files(&folder.path().join("uploads")).iter().all(|file| file.to_string_lossy().contains('#')));
    assert_eq!(app.complete(&ana, &upload).await.refused(409, "parts_missing").json()["parts"], json!([1]));
    // Of the right length, and other bytes: the upload begins anew.
    put(bytes(100_001)[1..].to_vec().into()).await.expect(204);
    app.complete(&ana, &upload).await.refused(422, "hash_mismatch");
    assert_eq!(db.count("_nizhal_blobs").await, 0);
    assert!(files(&folder.path().join("blobs")).is_empty(), "nothing is left of what was refused");
    app.complete(&ana, &upload).await.refused(409, "parts_missing");
    put(chunked(&photo)).await.expect(204);
    app.complete(&ana, &upload).await.expect(200);
    // Nothing is written behind the end.
    put(photo.clone().into()).await.refused(404, "not_found");
    // A bound in the place of a size: whatever was sent is it, if it is one piece.
    let bound = app.presign(&ana, &json!({"mime": "image/png", "maxBytes": 20 * 1024 * 1024})).await.expect(200).json();
    let parts = bound["parts"].as_array().expect("parts").clone();
    Reply::of(app.part_request(&parts[1], photo.clone())).await.expect(204);
    assert_eq!(app.complete(&ana, &bound).await.refused(409, "parts_missing").json()["parts"], json!([1]));
    let first = bytes(8 * 1024 * 1024);
    Reply::of(app.part_request(&parts[0], first.clone())).await.expect(204);
    let blob = app.complete(&ana, &bound).await.expect(200).json();
    assert_eq!(blob, reference(&[first, photo].concat(), "image/png"));
}

async fn inv36_a_url_is_good_for_nothing_else(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let photo = bytes(1_000);
    let blob = app.upload(&ana.token, &photo, "image/png").await;
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    let read = app.blob_url(&ana.token, &hash_of(&photo)).await.expect(200).json()["url"].as_str().unwrap().to_owned();
    let upload = app.begin_upload(&ana.token, &bytes(1_001), "image/png").await;
    let write = upload["url"].as_str().expect("a URL").to_owned();
    let refused = async |method: Method, url: &str| {
        let reply = Reply::of(app.request(method, url).body(bytes(1_001))).await;
        let text = format!("{url}: {} {}", reply.status, reply.text);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (403, Some("forbidden")), "{text}");
    };
    refused(Method::PUT, &read).await;
    refused(Method::GET, &write).await;
    let key = upload["key"].as_str().expect("a key");
    for (from, to) in
        [("expires=", "expires=9"), ("token=", "token=A"), ("token=", "x="), ("?", "?token=&"), ("/blob/", "/blob/x/")]
    {
        refused(Method::GET, &read.replacen(from, to, 1)).await;
        refused(Method::PUT, &write.replacen(from, to, 1)).await;
    }
    refused(Method::GET, &read.replacen("image/png", "text/html", 1)).await;
    for path in [&format!("uploads/{key}/2"), &format!("uploads/{key}/0"), "uploads/other/1", "..%2F..%2Fetc%2Fpasswd"]
    {
        let (_, query) = write.split_once('?').expect("a query");
        refused(Method::PUT, &format!("/nizhal/blob/{path}?{query}")).await;
    }
    for url in
        ["/nizhal/blob/x", "/nizhal/blob/x?expires=99999999999&token=", "/nizhal/blob/x?expires=a&token=b&token=c"]
    {
        refused(Method::GET, url).await;
    }
    // The URLs outlive a restart, and are the ones of one database.
    app.restart();
    assert_eq!(Reply::of(app.request(Method::GET, &read)).await.status, 200);
}

async fn inv35_what_is_served_was_checked(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    for (round, size) in [100_000, 9 * 1024 * 1024].into_iter().enumerate() {
        let photo = bytes(size);
        let upload = app.begin_upload(&ana.token, &photo, "image/png").await;
        app.send_parts(&upload, &photo).await;
        // Other bytes of the same length are sent again and again while the upload is completed, twice at once.
        let part = &upload["parts"][0];
        let length = usize::try_from(part["size"].as_u64().expect("a number")).expect("small");
        let write = async || Reply::of(app.part_request(part, vec![b'x'; length])).await.status;
        let (first, second, ..) = tokio::join!(
            app.complete(&ana.token, &upload),
            app.complete(&ana.token, &upload),
            write(),
            write(),
            write()
        );
        for reply in [&first, &second] {
            assert!(matches!(reply.status, 200 | 409 | 422), "{}: {}", reply.status, reply.text);
        }
        // What was meant is sent once more, if need be.
        if app.complete(&ana.token, &upload).await.status != 200 {
            app.send_parts(&upload, &photo).await;
            app.complete(&ana.token, &upload).await.expect(200);
        }
        pay(&mut ana, &format!("p{round}"), "c1", &reference(&photo, "image/png")).await.expect(200);
        assert!(app.download(&ana.token, &hash_of(&photo)).await == photo);
        assert_eq!(files(&folder.path().join("blobs")).len(), round + 1, "one object a blob");
    }
    assert_eq!(db.count("_nizhal_blobs").await, 2);
}

async fn inv28_one_actor_declares_so_many_bytes_a_day(mut app: App) {
    let (mut db, _folder) = with_folder(&mut app).await;
    app.set_up = app.set_up.clone().env("NIZHAL_BLOB_MAX_BYTES_PER_ACTOR", "1000");
    app.restart();
    let (ana, ben) = (app.device("a", "ana", "s1").token, app.device("b", "ben", "s1").token);
    let of = |bytes: u64| json!({"mime": "image/png", "size": bytes});
    app.presign(&ana, &of(600)).await.expect(200);
    let refused = app.presign(&ana, &of(401)).await.refused(429, "too_many_blob_bytes");
    assert!(refused.headers.contains_key("retry-after"));
    app.presign(&ben, &of(1_000)).await.expect(200);
    // Of many at once, no more than fit.
    let several = [(); 8].map(|()| of(100));
    let replies = futures_util::future::join_all(several.iter().map(|one| app.presign(&ana, one))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 4);
    db.execute("update _nizhal_blob_uploads set at_ms = at_ms - 86400001").await;
    app.presign(&ana, &of(1_000)).await.expect(200);
    // And so many for one bucket, which is then to be named.
    app.set_up = app.set_up.clone().env("NIZHAL_BLOB_MAX_BYTES_PER_ACTOR", "10000");
    app.set_up = app.set_up.clone().env("NIZHAL_BLOB_MAX_BYTES_PER_BUCKET", "1000");
    app.restart();
    let to = |bytes: u64, bucket: Value| json!({"mime": "image/png", "size": bytes, "bucket": bucket});
    app.presign(&ana, &of(1)).await.refused(400, "bad_request");
    app.presign(&ana, &to(600, json!("myShops:s1"))).await.expect(200);
    app.presign(&ben, &to(401, json!("myShops:s1"))).await.refused(429, "too_many_blob_bytes");
    app.presign(&ben, &to(400, json!("myShops:s1"))).await.expect(200);
}
