//! Invariant 35: collection deletes a blob that no row of any table names, and no other, whatever its marks say.

use super::world::{World, blob};
use crate::fixture::both;
use nizhal_tests::Kind;

both![inv35_the_grace_begins_when_no_row_names_a_blob_any_more, inv35_what_a_row_names_is_not_collected];

async fn inv35_what_a_row_names_is_not_collected(kind: Kind) {
    let mut world = World::new(kind).await;
    for digit in "123456789".chars() {
        world.stored(digit, Some("ann")).await;
    }
    // In a deleted row, in a private column, in one that no rule lists, on the server alone; and two in one row.
    for row in [
        format!("photos (id, shop_id, image) values ('a', 's1', '{}')", blob('1')),
        format!("photos (id, shop_id, original) values ('b', 's1', '{}')", blob('2')),
        format!("albums (id, shop_id, draft) values ('a', 's1', '{}')", blob('3')),
        format!("vaults (id, image) values ('a', '{}')", blob('4')),
        format!("cards (id, shop_id, front, back) values ('a', 's1', '{}', '{}')", blob('5'), blob('6')),
    ] {
        world.db.execute(&format!("insert into {row}")).await;
    }
    world.db.execute("update photos set deleted_at = current_timestamp where id = 'a'").await;
    let marked = "_nizhal_blobs where unreferenced_ms is not null";
    // As if a row had come to name them since they were marked: the deletion asks again.
    world.db.execute("update _nizhal_blobs set unreferenced_ms = 5 where sha256 < '8'").await;
    let store = world.engine.store();
    assert_eq!(store.delete_some_blobs(5).await.expect("a look"), None, "none is older");
    let gone = store.delete_some_blobs(6).await.expect("a look");
    assert_eq!(gone, Some(vec!["p7".to_owned()]));
    assert_eq!((world.db.count("_nizhal_blobs").await, world.db.count("_nizhal_blob_holders").await), (8, 8));
    assert_eq!(world.db.count(marked).await, 0, "what a row names is marked no more");
    // The marks follow the rows.
    let store = world.engine.store();
    assert_eq!(store.mark_some_blobs("", 9).await.expect("marked"), None, "one look is enough for so few");
    assert_eq!(world.db.count(marked).await, 2);
    world.db.execute(&format!("insert into posters (id, image) values ('a', '{}')", blob('9'))).await;
    world.db.execute("delete from vaults").await;
    let store = world.engine.store();
    store.mark_some_blobs("", 10).await.expect("marked");
    let still = "select cast(sum(unreferenced_ms) as text) from _nizhal_blobs";
    assert_eq!(world.db.text(still).await, "19", "8 since 9, and 4 since 10");
}

/// Whoever puts back a backup of a moment within the grace has rows that name the blobs of that moment.
async fn inv35_the_grace_begins_when_no_row_names_a_blob_any_more(kind: Kind) {
    let mut world = World::new(kind).await;
    for digit in "12".chars() {
        world.stored(digit, Some("ann")).await;
    }
    assert_eq!(world.engine.store().mark_some_blobs("", 5).await.expect("marked"), None);
    // Both are named and left alone again before the marks are looked at the next time.
    let (insert, one) = ("insert into photos (id, shop_id, image) values ", blob('1'));
    world.db.execute(&format!("{insert}('a', 's1', '{one}'); delete from photos")).await;
    world.db.execute(&format!("{insert}('b', 's1', null); update photos set image = '{}'", blob('2'))).await;
    world.db.execute("update photos set image = null").await;
    let store = world.engine.store();
    assert_eq!(store.delete_some_blobs(6).await.expect("a look"), None);
    assert_eq!(store.mark_some_blobs("", 7).await.expect("marked"), None);
    let mut gone = store.delete_some_blobs(8).await.expect("a look").expect("some");
    gone.sort();
    assert_eq!(gone, ["p1", "p2"]);
}
