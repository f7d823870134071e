//! First syncs by image where something beside the image is wrong: the object store, the server's connections, its rules, or a row.

use crate::fixture::{bearer, settled, shop};
use crate::image::{Broken, Watched, assert_same, customers, image, open, with_images};
use nizhal_tests::{App, both};

both![inv04_an_object_store_that_is_down_keeps_no_device_from_its_rows];

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
