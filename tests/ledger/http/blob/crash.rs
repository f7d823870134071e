//! Invariant 13 for blobs: kill -9 between two steps leaves nothing that is half done, and what is done is done.

use super::{bytes, pay, with_folder};
use crate::fixture::add;
use nizhal_tests::{
    App, Kind,
    blob::{S3, files, hash_of},
    both, play, until,
};
use serde_json::json;
use std::{io::Write, net::TcpStream};

both![inv13_killed_while_a_part_comes, inv13_a_stored_blob_outlives_a_kill];

async fn inv13_killed_while_a_part_comes(mut app: App) {
    let (_db, folder) = with_folder(&mut app).await;
    let ana = app.device("a", "ana", "s1").token;
    let photo = bytes(3_000_000);
    let upload = app.begin_upload(&ana, &photo, "image/png").await;
    let host = app.address.host();
    let mut connection = TcpStream::connect(&host).expect("the server listens");
    let url = upload["url"].as_str().expect("a URL");
    write!(connection, "PUT {url} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {}\r\n\r\n", photo.len()).expect("sent");
    connection.write_all(&photo[..2_000_000]).expect("the server reads");
    until("a file that is being written", async || !files(&folder.path().join("uploads")).is_empty()).await;
    app.restart();
    let resumed = app.presign(&ana, &json!({"key": upload["key"]})).await.expect(200).json();
    assert_eq!(resumed["parts"][0]["done"], json!(null), "half a part is none");
    app.send_parts(&resumed, &photo).await;
    app.complete(&ana, &upload).await.expect(200);
}

async fn inv13_a_stored_blob_outlives_a_kill(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let photo = bytes(10_000);
    let blob = app.upload(&ana.token, &photo, "image/png").await;
    app.restart();
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    assert!(app.download(&ana.token, &hash_of(&photo)).await == photo);
}

#[test]
fn inv13_killed_between_an_object_and_its_row() {
    play(async || {
        let s3 = S3::start().await;
        let mut app = App::start(Kind::Sqlite, crate::BINARY).await;
        let mut db = crate::fixture::two_shops(&app).await;
        app.set_up = s3.set_up(app.set_up.clone());
        app.restart();
        let mut ana = app.device("a", "ana", "s1");
        add(&mut ana, "c1").await;
        let photo = bytes(50_000);
        let upload = app.begin_upload(&ana.token, &photo, "image/png").await;
        app.send_parts(&upload, &photo).await;
        s3.stall(Some("PUT /BUCKET/app/blobs/"));
        let completing = async {
            until("the object", async || s3.carried_out("PUT /BUCKET/app/blobs/") > 0).await;
        };
        tokio::select! {
            reply = app.complete(&ana.token, &upload) => panic!("the store does not answer: {}", reply.text),
            () = completing => {}
        }
        app.server.kill();
        s3.stall(None);
        assert_eq!((s3.files("blobs").len(), db.count("_nizhal_blobs").await), (1, 0), "an object without a row");
        app.restart();
        let blob = app.complete(&ana.token, &upload).await.expect(200).json();
        pay(&mut ana, "p1", "c1", &blob).await.expect(200);
        assert!(app.download(&ana.token, &hash_of(&photo)).await == photo);
        assert_eq!(db.count("_nizhal_blobs").await, 1);
    });
}
