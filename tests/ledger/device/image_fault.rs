//! First syncs by image where something beside the image is wrong: the object store, the server's connections, its rules, or a row.

use crate::fixture::{bearer, settled, shop};
use crate::image::{Broken, Watched, assert_same, customers, image, open, with_images};
use nizhal_tests::{App, Reply, both};
use reqwest::Method;
use serde_json::Value;

both![
    inv04_an_object_store_that_is_down_keeps_no_device_from_its_rows,
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
