//! The server's database as it is: values that are not unique, cells that the app's types cannot read, keys of every type.

use crate::app::{Device, Slot, SlotColumn, Tag, item, page};
use crate::run;
use nizhal::prelude::*;
use nizhal_client::store::{Location, OtherUser, Store as _};
use nizhal_tests::TempDir;
use serde_json::{Value, json};

fn coded(id: &str, code: &str) -> Value {
    let mut row = item(id, id);
    row["code"] = json!(code);
    row
}

fn rows(cursor: &str, items: &[Value], more: Value) -> Value {
    page(cursor, json!({"items": items}), more)
}

/// Declared `unique`, and the server's table has no index that keeps it so.
#[test]
fn inv40_a_row_never_gives_way_for_another_column_than_its_key() {
    run(async {
        let dir = TempDir::in_memory("device");
        let place = Location::File(dir.path().join("app.db"));
        let device = Device::open(&place, OtherUser::Refuse, "ana").await.unwrap();
        device.pull(rows("c1", &[coded("a", "1"), coded("b", "2")], json!({}))).await;
        device.pull(rows("c2", &[coded("c", "1"), coded("d", "1"), coded("e", "2")], json!({}))).await;
        assert_eq!(device.names().await, "a=a b=b c=c d=d e=e");
        // A mutation on one of them, a page after it, and a restart leave all there.
        device.mutate("rename", json!({"id": "a", "name": "A"})).await;
        device.pull(rows("c3", &[coded("f", "1")], json!({}))).await;
        device.store.close().await;
        let device = Device::open(&place, OtherUser::Refuse, "ana").await.unwrap();
        assert_eq!(device.names().await, "a=A b=b c=c d=d e=e f=f");
        // Put right on the server, it is kept unique here again, so that mutators see it.
        let right = ["a", "b", "c", "d", "e", "f"].map(|id| coded(id, id));
        device.pull(rows("c4", &right, json!({"cursorReset": true, "lastMutationId": 1}))).await;
        let twice = device.try_mutate("put", json!({"id": "x", "name": "x", "code": "a"})).await;
        assert!(twice.is_err(), "{twice:?}");
        assert_eq!(device.items().await.len(), 6);
    });
}

#[test]
fn inv40_a_cell_that_cannot_be_read_is_its_rows_trouble_alone() {
    run(async {
        let device = Device::new().await;
        device.pull(rows("c1", &[item("a", "A"), item("b", "B")], json!({}))).await;
        let mut troubled = Vec::new();
        for (id, column, value) in [
            ("a", "name", json!(null)),
            ("t1", "count", json!("many")),
            ("t2", "count", json!({})),
            ("t3", "shop", json!(null)),
        ] {
            let mut row = item(id, "T");
            row[column] = value;
            troubled.push(row);
        }
        troubled.push(item("c", "C"));
        device.pull(rows("c2", &troubled, json!({}))).await;
        assert_eq!(device.names().await, "b=B c=C");
        let told = device.store.unreadable().await.unwrap();
        let told: Vec<_> = told.iter().map(|row| (&*row.table, &*row.key, &*row.column)).collect();
        assert_eq!(
            told,
            [("items", "a", "name"), ("items", "t1", "count"), ("items", "t2", "count"), ("items", "t3", "shop")]
        );
        // Mended, deleted, and asked for anew.
        let gone = json!({"tombstoned": [{"table": "items", "id": "t1"}]});
        device.pull(rows("c3", &[item("a", "mended")], gone)).await;
        assert_eq!(device.names().await, "a=mended b=B c=C");
        assert_eq!(device.store.unreadable().await.unwrap().len(), 2);
        device.pull(rows("c4", &[item("z", "Z")], json!({"cursorReset": true}))).await;
        assert_eq!((device.names().await, device.store.unreadable().await.unwrap().len()), ("z=Z".to_owned(), 0));
    });
}

/// A slot as a server's row spells it, and its key as a tombstone does.
fn slot(time: &str) -> (Value, String) {
    let row = json!({"shop": "s1", "day": "2026-01-02", "moment": "2026-01-02T03:04:05.120000Z", "time": time, "open": true,
        "note": "theirs", "small": 1});
    (row, json!(["2026-01-02", "2026-01-02T03:04:05.120000Z", time, "true"]).to_string())
}

async fn notes(device: &Device) -> Vec<String> {
    let slots = Slot::find().order_by_asc(SlotColumn::Time).all(device.store.reads()).await.expect("slots are read");
    let tags = Tag::find().all(device.store.reads()).await.expect("tags are read");
    slots.into_iter().map(|slot| slot.note).chain(tags.into_iter().map(|tag| tag.note)).collect()
}

#[test]
fn inv09_tombstones_meet_rows_whatever_types_their_keys_have() {
    run(async {
        let device = Device::new().await;
        let ((row, key), (other, _)) = (slot("01:02:03.500000"), slot("01:02:04"));
        let tag = json!({"of": "01234567-89ab-cdef-0123-456789abcdef", "price": "12.50", "number": "-7", "shop": "s1",
            "note": "theirs"});
        // What was made here is the server's when it comes from there.
        let book = json!({"day": "2026-01-02", "moment": "2026-01-02T08:34:05.12+05:30", "time": "01:02:03.5", "open": true,
            "of": "0123456789ABCDEF0123456789abcdef", "price": "12.50", "number": -7});
        device.mutate("book", book).await;
        assert_eq!(notes(&device).await, ["mine", "mine"]);
        device.pull(page("c1", json!({"slots": [row, other], "tags": [tag]}), json!({}))).await;
        assert_eq!(notes(&device).await, ["theirs", "theirs", "theirs"]);
        device.answer(1, "applied").await;
        let nonsense = json!({"table": "slots", "id": "[\"of\", \"another\", \"kind\"]"});
        let of_tag = json!(["01234567-89ab-cdef-0123-456789abcdef", "12.50", "-7"]).to_string();
        let gone = json!([nonsense, {"table": "slots", "id": key}, {"table": "tags", "id": of_tag}]);
        device.pull(page("c2", json!({}), json!({"tombstoned": gone, "lastMutationId": 1}))).await;
        assert_eq!(notes(&device).await, ["theirs"], "one is left");
        let ((mut wrong, _), (mut infinite, _)) = (slot("01:02:05"), slot("01:02:06"));
        wrong["small"] = json!(1_i64 << 40);
        infinite["moment"] = json!("infinity");
        device.pull(page("c3", json!({"slots": [wrong, infinite]}), json!({}))).await;
        assert_eq!(notes(&device).await, ["theirs"]);
        let told = device.store.unreadable().await.unwrap();
        assert_eq!((told.len(), &*told[0].column), (1, "small"), "a row whose key cannot be read has no name");
    });
}
