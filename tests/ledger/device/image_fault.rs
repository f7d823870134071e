//! First syncs by image where something beside the image is wrong: the object store, the server's connections, its rules, or a row.

use crate::fixture::{bearer, settled, shop};
use crate::image::{Broken, Watched, assert_same, customers, image, open, with_images};
use nizhal_tests::{App, Reply, both, until};
use reqwest::Method;
use serde_json::Value;

both![
    inv02_a_server_of_other_rules_gives_out_no_file,
    inv04_an_object_store_that_is_down_keeps_no_device_from_its_rows,
    inv04_who_asks_for_a_file_that_cannot_be_made_is_told_so,
    inv31_a_pull_by_image_needs_one_connection,
];

async fn pull(app: &App, user: &str) -> Value {
    let request = app.request(Method::POST, "/sync/pull").bearer_auth(bearer(user)).header("x-nizhal-wire", "2");
    Reply::of(request.body(r#"{"cursor":"","images":true}"#)).await.expect(200).json()
}

async fn inv04_an_object_store_that_is_down_keeps_no_device_from_its_rows(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    for how in [Broken::Unreachable, Broken::Busy, Broken::Again] {
        let watched = Watched::broken(&app, how);
        let ben = open(&watched, "ben").await;
        settled(&ben).await;
        assert!((1..=5).contains(&watched.fetches()), "{how:?}: it asked {} times", watched.fetches());
        assert_same(&ben, &mut db, "'s1'").await;
    }
}

/// A pull holds a connection, and whoever holds one must not wait for another.
async fn inv31_a_pull_by_image_needs_one_connection(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_DB_POOL", "1");
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    let pulled = pull(&app, "ben").await;
    assert_eq!(pulled["images"][0]["bucket"], "myShops:s1", "{pulled}");
}

async fn inv02_a_server_of_other_rules_gives_out_no_file(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    image(&app, "ana", "myShops:s1").await;
    // Another server has migrated the database to rules of which this one knows nothing.
    db.execute("update _nizhal_control set rules = 'other'").await;
    let pulled = app.post("/sync/pull", &bearer("ana"), r#"{"cursor":""}"#).await;
    let file = app.get("/sync/image?bucket=myShops:s1", &bearer("ana")).await;
    assert_eq!(file.status, pulled.status, "{file:?}");
}

async fn inv04_who_asks_for_a_file_that_cannot_be_made_is_told_so(mut app: App) {
    let _dir = with_images(&mut app);
    let mut db = shop(&app).await;
    customers(&mut db, "s1", 60).await;
    db.execute("update customers set created_at = '294276-01-01 00:00:00+00' where id = 's1-7'").await;
    until("the file is refused", async || {
        let status = app.get("/sync/image?bucket=myShops:s1", &bearer("ana")).await.status;
        assert!([202, 404].contains(&status), "{status}");
        status == 404
    })
    .await;
}
