//! A photo on its way from one phone to another.

use super::{bytes, pay, payment, with_folder};
use crate::fixture::{add, leave};
use nizhal_tests::{
    App, Reply,
    blob::{files, hash_of, reference},
    both, token,
};
use reqwest::Method;
use serde_json::{Value, json};

both![
    inv35_a_photo_travels_from_one_phone_to_another,
    inv35_a_mutation_waits_for_its_blob,
    inv36_who_sees_no_row_hears_of_no_blob,
    inv36_a_known_hash_is_no_blob_of_another_tenants,
    a_large_upload_goes_on_where_it_was_left,
    a_blob_is_read_by_ranges,
    what_is_there_is_not_sent_again,
];

async fn inv35_a_photo_travels_from_one_phone_to_another(mut app: App) {
    let (_db, folder) = with_folder(&mut app).await;
    let (mut ana, mut ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    add(&mut ana, "c1").await;
    let photo = bytes(300_000);
    let blob = app.upload(&ana.token, &photo, "image/jpeg").await;
    assert!(files(&folder.path().join("uploads")).is_empty(), "no part is left");
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    ben.pull().await;
    let row = ben.row("ledger_entries", "p1").expect("ben sees the payment").clone();
    assert_eq!(row["photo"], blob);
    assert_eq!(app.download(&ben.token, row["photo"]["sha256"].as_str().expect("a hash")).await, photo);
    // A row without one has none.
    let payment = json!({"clientId": "p2", "customerId": "c1", "amount": "1.00"});
    ana.mutate("recordPayment", &payment).await.expect(200);
    ben.pull().await;
    assert_eq!(ben.row("ledger_entries", "p2").expect("a payment")["photo"], Value::Null);
}

async fn inv35_a_mutation_waits_for_its_blob(mut app: App) {
    let (mut db, _folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let photo = bytes(1_000);
    let blob = reference(&photo, "image/png");
    let mutation = ana.mutation("recordPayment", &payment("p1", "c1", &blob));
    for _ in 0..2 {
        let refused = ana.push(std::slice::from_ref(&mutation)).await.refused(409, "blob_missing");
        assert_eq!(refused.json()["sha256"], json!([hash_of(&photo)]));
        let last = "select cast(last_mutation_id as text) from _nizhal_clients";
        assert_eq!(db.text(last).await, "1", "its number is not used up");
    }
    assert_eq!(db.count("_nizhal_mutations where name = 'recordPayment'").await, 0);
    // Begun, and sent, is not stored.
    let upload = app.begin_upload(&ana.token, &photo, "image/png").await;
    app.send_parts(&upload, &photo).await;
    ana.push(std::slice::from_ref(&mutation)).await.refused(409, "blob_missing");
    app.complete(&ana.token, &upload).await.expect(200);
    ana.push(&[mutation]).await.expect(200);
    assert_eq!(db.count("ledger_entries").await, 1);
}

async fn inv36_who_sees_no_row_hears_of_no_blob(mut app: App) {
    let (mut db, _folder) = with_folder(&mut app).await;
    let (mut ana, ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    let cem = app.device("c", "cem", "s2");
    add(&mut ana, "c1").await;
    let (blob, nobodys) = (app.upload(&ana.token, &bytes(500), "image/png").await, hash_of(b"nobody's"));
    let hash = blob["sha256"].as_str().expect("a hash");
    let nothing = app.blob_url(&cem.token, &nobodys).await.refused(404, "not_found").text;
    let hidden = async |token: &str| {
        let reply = app.blob_url(token, hash).await.refused(404, "not_found");
        assert_eq!(reply.text, nothing, "the same as for a blob that is not there");
    };
    // Not even to the one who uploaded it, until a row names it.
    for device in [&ana, &ben, &cem] {
        hidden(&device.token).await;
    }
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    for device in [&ana, &ben] {
        app.blob_url(&device.token, hash).await.expect(200);
    }
    hidden(&cem.token).await;
    for name in ["x", "", "..", &hash.to_uppercase(), &hash[1..]] {
        let reply = app.blob_url(&cem.token, name).await;
        assert!(matches!(reply.status, 403 | 404), "{name}: {}", reply.status);
    }
    leave(&mut db, "s1", "ben").await;
    hidden(&ben.token).await;
    db.execute("update ledger_entries set deleted_at = updated_at where id = 'p1'").await;
    hidden(&ana.token).await;
}

async fn inv36_a_known_hash_is_no_blob_of_another_tenants(mut app: App) {
    let (mut db, folder) = with_folder(&mut app).await;
    let (mut ana, mut cem) = (app.device("a", "ana", "s1"), app.device("c", "cem", "s2"));
    add(&mut ana, "c1").await;
    add(&mut cem, "c2").await;
    let photo = bytes(2_000);
    let blob = app.upload(&ana.token, &photo, "image/png").await;
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    // Cem knows the hash and gets what everybody gets for a hash that nobody has.
    let upload = app.begin_upload(&cem.token, &photo, "image/png").await;
    let other = app.begin_upload(&cem.token, &bytes(2_001), "image/png").await;
    let keys = |upload: &Value| upload.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&upload), keys(&other));
    let mutation = cem.mutation("recordPayment", &payment("p2", "c2", &blob));
    cem.push(std::slice::from_ref(&mutation)).await.refused(409, "blob_missing");
    app.complete(&cem.token, &upload).await.refused(409, "parts_missing");
    // Who has all the bytes may name them; they are stored once.
    app.send_parts(&upload, &photo).await;
    app.complete(&cem.token, &upload).await.expect(200);
    cem.push(&[mutation]).await.expect(200);
    assert_eq!(files(&folder.path().join("blobs")).len(), 1);
    assert_eq!(db.count("_nizhal_blob_holders").await, 2);
    assert_eq!(app.download(&cem.token, &hash_of(&photo)).await, photo);
}

async fn a_large_upload_goes_on_where_it_was_left(mut app: App) {
    let (_db, folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let video = bytes(20 * 1024 * 1024 + 7);
    let upload = app.begin_upload(&ana.token, &video, "video/mp4").await;
    let parts = upload["parts"].as_array().expect("parts");
    assert_eq!((parts.len(), &upload["partSize"]), (3, &json!(8 * 1024 * 1024)));
    assert_eq!((&upload["url"], &upload["method"]), (&parts[0]["url"], &json!("PUT")));
    for index in [0, 2] {
        let (offset, size) = (parts[index]["offset"].as_u64().unwrap(), parts[index]["size"].as_u64().unwrap());
        let part = video[offset as usize..(offset + size) as usize].to_vec();
        Reply::of(app.part_request(&parts[index], part)).await.expect(204);
    }
    assert_eq!(app.complete(&ana.token, &upload).await.refused(409, "parts_missing").json()["parts"], json!([2]));
    app.restart();
    let resumed = app.presign(&ana.token, &json!({"key": upload["key"]})).await.expect(200).json();
    let done: Vec<bool> = resumed["parts"].as_array().unwrap().iter().map(|part| part["done"] == true).collect();
    assert_eq!((done, &resumed["key"]), (vec![true, false, true], &upload["key"]));
    app.send_parts(&resumed, &video).await;
    let blob = app.complete(&ana.token, &upload).await.expect(200).json();
    assert_eq!(blob, reference(&video, "video/mp4"));
    // Again, when the answer was lost.
    assert_eq!(app.complete(&ana.token, &upload).await.expect(200).json(), blob);
    let again = app.presign(&ana.token, &json!({"key": upload["key"]})).await.expect(200).json();
    assert_eq!(again, json!({"done": true, "blob": blob}));
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    assert!(app.download(&ana.token, &hash_of(&video)).await == video);
    assert_eq!(files(folder.path()).len(), 1);
}

async fn a_blob_is_read_by_ranges(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let mut ana = app.device("a", "ana", "s1");
    add(&mut ana, "c1").await;
    let photo = bytes(600_000);
    let blob = app.upload(&ana.token, &photo, "image/svg+xml").await;
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    let url = app.blob_url(&ana.token, &hash_of(&photo)).await.expect(200).json();
    let url = url["url"].as_str().expect("a URL");
    let get = |headers: &[(&str, &str)]| {
        let request = app.request(Method::GET, url);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        async move { request.send().await.expect("an answer") }
    };
    let whole = get(&[]).await;
    let tag = format!("\"{}\"", hash_of(&photo));
    for (name, value) in [
        ("content-type", "image/svg+xml"),
        ("content-length", "600000"),
        ("etag", &tag),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("content-disposition", "attachment"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(whole.headers().get(name).map(|value| value.to_str().unwrap()), Some(value), "{name}");
    }
    // Never compressed: a browser that kept the beginning of that would go on with a range of other bytes.
    let whole = get(&[("accept-encoding", "gzip")]).await;
    assert_eq!(
        (&whole.headers()["content-encoding"], whole.content_length()),
        (&"identity".parse().unwrap(), Some(photo.len() as u64))
    );
    assert!(whole.bytes().await.unwrap() == photo);
    let range = get(&[("range", "bytes=1000-299999")]).await;
    assert_eq!(
        (range.status().as_u16(), &range.headers()["content-range"]),
        (206, &"bytes 1000-299999/600000".parse().unwrap())
    );
    assert!(range.bytes().await.unwrap() == photo[1_000..300_000]);
    let last = get(&[("range", "bytes=-1"), ("if-range", &tag)]).await;
    assert_eq!((last.status().as_u16(), last.bytes().await.unwrap().to_vec()), (206, vec![photo[599_999]]));
    for rubbish in ["bytes=5-1", "bytes=x", "pages=1-2", "bytes=0-1,5-6"] {
        assert_eq!(get(&[("range", rubbish)]).await.status().as_u16(), 200, "{rubbish}");
    }
    assert_eq!(get(&[("range", "bytes=0-1"), ("if-range", "\"other\"")]).await.status().as_u16(), 200);
    let outside = get(&[("range", "bytes=600000-")]).await;
    assert_eq!(
        (outside.status().as_u16(), &outside.headers()["content-range"]),
        (416, &"bytes */600000".parse().unwrap())
    );
    for known in [tag.as_str(), "*", &format!("\"x\", W/{tag}")] {
        let kept = get(&[("if-none-match", known)]).await;
        assert_eq!((kept.status().as_u16(), kept.bytes().await.unwrap().len()), (304, 0), "{known}");
    }
    assert_eq!(get(&[("if-none-match", "\"x\"")]).await.status().as_u16(), 200);
}

async fn what_is_there_is_not_sent_again(mut app: App) {
    let (_db, _folder) = with_folder(&mut app).await;
    let (mut ana, ben) = (app.device("a", "ana", "s1"), app.device("b", "ben", "s1"));
    add(&mut ana, "c1").await;
    let photo = bytes(700);
    let blob = app.upload(&ana.token, &photo, "image/png").await;
    let done = json!({"done": true, "blob": blob});
    assert_eq!(app.begin_upload(&ana.token, &photo, "image/png").await, done, "its holder");
    assert!(app.begin_upload(&ben.token, &photo, "image/png").await["key"].is_string(), "ben sees no row with it");
    pay(&mut ana, "p1", "c1", &blob).await.expect(200);
    assert_eq!(app.begin_upload(&ben.token, &photo, "image/png").await, done, "ben sees a row with it");
    let other_size = json!({"mime": "image/png", "sha256": blob["sha256"], "size": 701});
    assert!(app.presign(&ana.token, &other_size).await.expect(200).json()["key"].is_string());
    // In a bucket of the actor's, and in no other.
    let in_bucket = |bucket: &str| json!({"mime": "image/png", "maxBytes": 10, "bucket": bucket});
    let ana = token::signed(&token::claims("ana", Some("s1")));
    app.presign(&ana, &in_bucket("myShops:s1")).await.expect(200);
    for other in ["myShops:s2", "s1", "nothing:s1", ""] {
        app.presign(&ana, &in_bucket(other)).await.refused(403, "forbidden");
    }
}
