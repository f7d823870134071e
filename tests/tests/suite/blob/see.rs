//! Invariant 36: an actor has a blob where a row that it sees names it, and cannot tell any other from one that nobody stored.

use super::world::{SIZE, World, actor, blob, hash, parsed, photo, told};
use crate::fixture::both;
use nizhal_core::wire::Wire;
use nizhal_runtime::{engine::ScopeError, store::StoreError};
use nizhal_tests::Kind;
use serde_json::json;

both![
    inv36_a_blob_is_seen_where_its_row_is,
    inv36_what_devices_do_not_get_shows_no_blob,
    inv36_a_known_hash_gives_nothing,
    inv36_what_an_actor_sees_it_may_name,
    inv36_no_argument_hides_a_blob,
    inv36_what_no_pull_would_give_shows_no_blob,
];

async fn inv36_a_blob_is_seen_where_its_row_is(kind: Kind) {
    let mut world = World::new(kind).await;
    for digit in "123".chars() {
        world.stored(digit, Some("dan")).await;
    }
    assert_eq!(
        (world.seers('1').await, world.seen("ann", '9').await),
        (String::new(), None),
        "stored, and named by no row"
    );
    world.db.execute(&format!("insert into photos (id, shop_id, image) values ('a', 's1', '{}')", blob('1'))).await;
    assert_eq!(world.seers('1').await, "ann cem");
    assert_eq!(world.seen("ann", '1').await.as_deref(), Some("image/png"));
    // The row moves to another tenant.
    world.db.execute("update photos set shop_id = 's2' where id = 'a'").await;
    assert_eq!(world.seers('1').await, "ben cem");
    // A membership is revoked, and given again.
    world.db.execute("delete from members where user_id = 'ben'").await;
    assert_eq!(world.seers('1').await, "cem");
    world.db.execute("insert into members (shop_id, user_id) values ('s2', 'ben')").await;
    assert_eq!(world.seers('1').await, "ben cem");
    // The row meets its rule no more.
    for (hide, show) in [
        ("update photos set hidden = true", "update photos set hidden = false"),
        ("update photos set deleted_at = current_timestamp", "update photos set deleted_at = null"),
    ] {
        world.db.execute(hide).await;
        assert_eq!(world.seers('1').await, "", "{hide}");
        world.db.execute(show).await;
        assert_eq!(world.seers('1').await, "ben cem", "{show}");
    }
    // It names another one, and is gone.
    world.db.execute(&format!("update photos set image = '{}'", blob('2'))).await;
    assert_eq!((world.seers('1').await, world.seers('2').await), (String::new(), "ben cem".to_owned()));
    world.db.execute("delete from photos").await;
    assert_eq!(world.seers('2').await, "");
    // Two columns of one row, in a table that merges; and the same in two tenants.
    world
        .db
        .execute(&format!(
            "insert into cards (id, shop_id, front, back) values ('a', 's1', '{}', '{}')",
            blob('2'),
            blob('3')
        ))
        .await;
    world.db.execute(&format!("insert into photos (id, shop_id, image) values ('b', 's2', '{}')", blob('3'))).await;
    assert_eq!((world.seers('2').await, world.seers('3').await), ("ann cem".to_owned(), "ann ben cem".to_owned()));
    // Each is told the media type of a row that it sees.
    let other = blob('3').to_string().replace("image/png", "image/webp");
    world.db.execute(&format!("update photos set image = '{other}'")).await;
    assert_eq!(world.seen("ann", '3').await.as_deref(), Some("image/png"));
    assert_eq!(world.seen("ben", '3').await.as_deref(), Some("image/webp"));
}

async fn inv36_what_devices_do_not_get_shows_no_blob(kind: Kind) {
    let mut world = World::new(kind).await;
    for digit in "12345".chars() {
        world.stored(digit, None).await;
    }
    world
        .db
        .execute(&format!(
            "insert into photos (id, shop_id, original) values ('a', 's1', '{}'); \
             insert into albums (id, shop_id, cover, draft) values ('a', 's1', '{}', '{}'); \
             insert into vaults (id, image) values ('a', '{}'); insert into posters (id, image) values ('a', '{}')",
            blob('1'),
            blob('2'),
            blob('3'),
            blob('4'),
            blob('5')
        ))
        .await;
    assert_eq!(world.seers('1').await, "", "a private column");
    assert_eq!(world.seers('2').await, "ann cem", "a column of the rule's list");
    assert_eq!(world.seers('3').await, "", "a column that the list leaves out");
    assert_eq!(world.seers('4').await, "", "a table of the server's");
    assert_eq!(world.seers('5').await, "ann ben cem dan", "a public rule");
}

async fn inv36_a_known_hash_gives_nothing(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', Some("ann")).await;
    world.stored('2', Some("ann")).await;
    assert_eq!(world.tried("ann", "addPhoto", &photo("a", "s1", '1')).await, "applied");
    // One that another tenant's row names, one that another actor uploaded, and one that nobody stored.
    for digit in "129".chars() {
        let answer = world.tried("ben", "addPhoto", &photo("b", "s2", digit)).await;
        assert_eq!(answer, format!("missing {digit}"));
        assert_eq!(world.seen("ben", digit).await, None);
    }
    // Neither does its size or its media type make a difference.
    for (field, value) in [("size", json!(8)), ("mime", json!("a/b"))] {
        let mut args = photo("b", "s2", '1');
        args["image"][field] = value;
        assert_eq!(world.tried("ben", "addPhoto", &args).await, "missing 1");
    }
    assert_eq!(world.db.count("photos where shop_id = 's2'").await, 0);
    // Who has the bytes may say so.
    let upload = format!("insert into _nizhal_blob_holders (sha256, actor, at_ms) values ('{}', ", hash('1'));
    let key = actor("ben");
    world.db.execute(&format!("{upload}'{}', 0)", key.key())).await;
    assert_eq!(world.seen("ben", '1').await, None, "it holds it, and no row of its names it");
    assert_eq!(world.tried("ben", "addPhoto", &photo("b", "s2", '1')).await, "applied");
    assert_eq!(world.seers('1').await, "ann ben cem");
}

async fn inv36_what_an_actor_sees_it_may_name(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', Some("ann")).await;
    assert_eq!(world.tried("ann", "addPhoto", &photo("a", "s1", '1')).await, "applied");
    // Cem is in both shops, and shows the second what the first has.
    assert_eq!(world.tried("ben", "addPhoto", &photo("b", "s2", '1')).await, "missing 1");
    assert_eq!(world.tried("cem", "addPhoto", &photo("c", "s2", '1')).await, "applied");
    assert_eq!(world.tried("ben", "addPhoto", &photo("b", "s2", '1')).await, "applied");
    // What was seen counts no more.
    world.stored('2', None).await;
    let private = format!("insert into photos (id, shop_id, original) values ('d', 's1', '{}')", blob('2'));
    world.db.execute(&private).await;
    assert_eq!(world.tried("ann", "addPhoto", &photo("e", "s1", '2')).await, "missing 2", "a private column");
    world.db.execute("update photos set image = original where id = 'd'").await;
    assert_eq!(world.tried("ann", "addPhoto", &photo("e", "s1", '2')).await, "applied");
    world.db.execute("delete from members where user_id = 'cem'").await;
    assert_eq!(world.tried("cem", "addPhoto", &photo("f", "s1", '2')).await, "missing 2");
}

async fn inv36_no_argument_hides_a_blob(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', Some("ann")).await;
    let args = photo("b", "s2", '1').to_string();
    for hidden in [
        args.replace("sha256", "\\u0073ha256"),
        args.replace("\"image\"", "\"im\\u0061ge\""),
        args.replace(&hash('1'), &format!("\\u0031{}", &hash('1')[1..])),
    ] {
        let sent = format!(
            r#"{{"mutations": [{{"name": "addPhoto", "clientMutationId": "{}", "args": {hidden}}}]}}"#,
            hidden.len()
        );
        let reply = world.engine.push(&actor("ben"), Wire::Two, serde_json::from_str(&sent).expect("a push")).await;
        assert_eq!(told(&reply), ["missing 1"], "{hidden}");
    }
    // A list in the place of the object, which serde reads as the fields in order.
    let listed = json!({"id": "b", "shopId": "s2", "image": [hash('1'), SIZE, "image/png"]});
    let answer = world.tried("ben", "addPhoto", &listed).await;
    assert!(answer.starts_with("refused: image: "), "{answer}");
    assert_eq!(world.seen("ben", '1').await, None);
    let deep = args.replacen('{', &format!("{{\"deep\": {}{}, ", "[".repeat(200), "]".repeat(200)), 1);
    let sent = format!(r#"{{"mutations": [{{"name": "addPhoto", "clientMutationId": "deep", "args": {deep}}}]}}"#);
    let request = serde_json::from_str(&sent).expect("a push");
    let reply = world.engine.push(&actor("ben"), Wire::Two, request).await;
    assert_eq!(told(&reply), ["refused: recursion limit exceeded"]);
    assert_eq!(world.db.count("photos").await, 0);
}

async fn inv36_what_no_pull_would_give_shows_no_blob(kind: Kind) {
    let mut world = World::new(kind).await;
    world.stored('1', None).await;
    world.db.execute(&format!("insert into photos (id, shop_id, image) values ('a', 's1', '{}')", blob('1'))).await;
    world.engine = world.engine.with_max_buckets(2);
    assert!(world.seen("ann", '1').await.is_some(), "a shop, and what is public");
    let answer = world.engine.visible_blob(&actor("cem"), parsed('1')).await;
    assert!(matches!(answer, Err(ScopeError::TooManyBuckets(_))), "{answer:?}");
    // Another server has migrated the database to rules of which this one knows nothing.
    world.db.execute("update _nizhal_control set rules = 'other'").await;
    let answer = world.engine.visible_blob(&actor("ann"), parsed('1')).await;
    assert!(matches!(answer, Err(ScopeError::Store(StoreError::OtherRules))), "{answer:?}");
}
