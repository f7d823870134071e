//! Opening again: after a crash, as somebody else, with other tables, where a file vanished.

use crate::app::{Device, Item, Member, Seat, Slot, Stock, Tag, Transfer, item, page, rules};
use crate::run;
use nizhal::prelude::*;
use nizhal::{ColumnDesc, Table, TableDesc};
use nizhal_client::StoreError;
use nizhal_client::store::{Location, Notice, OtherUser, Store as _};
use nizhal_tests::TempDir;
use serde_json::json;
use std::path::{Path, PathBuf};

pub(crate) fn place(dir: &TempDir) -> Location {
    Location::File(dir.path().join("app.db"))
}

/// Every file but the lock.
pub(crate) fn databases(dir: &Path) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = all.filter(|path| path.extension().is_some_and(|extension| extension == "db")).collect();
    all.sort();
    all
}

#[test]
fn inv22_what_was_written_is_there_after_a_crash() {
    run(async {
        let dir = TempDir::new("device");
        let device = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        device.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        device.mutate("put", json!({"id": "b", "name": "B"})).await;
        device.pull(page("c2", json!({"items": [item("c", "C")]}), json!({"hasMore": true}))).await;
        let before = device.outbox().await[0].client_mutation_id.clone();
        // Not closed: its memory is simply not used again.
        let again = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        assert_eq!((again.names().await, &again.notices), ("a=A b=B".to_owned(), &vec![]));
        assert_eq!(again.outbox().await[0].client_mutation_id, before);
        assert_eq!(again.store.begin_pull().await.unwrap().cursor, "c2", "pages that came are not asked for again");
        again.pull(page("c3", json!({}), json!({}))).await;
        assert_eq!(again.names().await, "a=A b=B c=C");
    });
}

#[test]
fn inv24_another_user_sees_nothing_and_sends_nothing() {
    run(async {
        let dir = TempDir::new("device");
        let ana = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        ana.mutate("put", json!({"id": "a", "name": "Ana's"})).await;
        let ben = Device::open(&place(&dir), OtherUser::Apart, "ben").await.unwrap();
        assert_eq!((ben.names().await, ben.outbox().await.len()), (String::new(), 0));
        assert_eq!(databases(dir.path()).len(), 2);
        let again = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        assert_eq!((again.names().await, again.outbox().await.len()), ("a=Ana's".to_owned(), 1));
        assert!(matches!(again.store.set_principal(crate::app::principal("ben")), Err(StoreError::OtherUser)));
    });
}

#[test]
fn inv24_one_file_is_wiped_before_another_user_sees_it() {
    run(async {
        let dir = TempDir::new("device");
        let ana = Device::open(&place(&dir), OtherUser::Wipe, "ana").await.unwrap();
        ana.pull(page("c1", json!({"items": [item("x", "X")]}), json!({}))).await;
        ana.mutate("put", json!({"id": "a", "name": "Ana's"})).await;
        ana.mutate("put", json!({"id": "b", "name": "refused"})).await;
        ana.answer(1, "rejected").await;
        ana.store.close().await;
        assert!(matches!(Device::open(&place(&dir), OtherUser::Refuse, "ben").await, Err(StoreError::OtherUser)));
        let ben = Device::open(&place(&dir), OtherUser::Wipe, "ben").await.unwrap();
        assert_eq!(ben.notices, [Notice::Wiped { unsynced: 1 }]);
        let memory = ben.store.memory().await.unwrap();
        assert_eq!(
            (ben.names().await, memory.waiting, memory.dead_letters, memory.has_cursor),
            (String::new(), 0, 0, false)
        );
    });
}

#[test]
fn inv27_a_file_that_vanished_is_told_of() {
    run(async {
        let dir = TempDir::new("device");
        let ana = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        assert!(ana.notices.is_empty());
        let _lock = nizhal_client::store::Lock::of(ana.store.path()).unwrap();
        ana.store.close().await;
        for file in databases(dir.path()) {
            std::fs::remove_file(file).unwrap();
        }
        let again = Device::open(&place(&dir), OtherUser::Apart, "ana").await.unwrap();
        assert_eq!(again.notices, [Notice::Vanished]);
    });
}

#[test]
fn inv26_one_process_leads() {
    let dir = TempDir::new("device");
    let path = dir.path().join("app.db");
    let lock = || nizhal_client::store::Lock::of(Some(&path)).unwrap();
    let (mut one, mut other) = (lock(), lock());
    assert!(one.try_acquire().unwrap() && one.try_acquire().unwrap());
    assert!(!other.try_acquire().unwrap());
    drop(one);
    assert!(other.try_acquire().unwrap());
}

/// The items of an older app: without `code`, and `count` of another type.
const OLDER: &TableDesc = &TableDesc {
    columns: &{
        let columns = <Item as Table>::DESC.columns;
        [columns[0], columns[1], columns[2], columns[3]]
    },
    ..<Item as Table>::DESC
};
const OTHER: &TableDesc = &TableDesc {
    columns: &{
        let columns = <Item as Table>::DESC.columns;
        let count = ColumnDesc { sql: nizhal::SqlType::Text, ..columns[3] };
        [columns[0], columns[1], columns[2], count, columns[4]]
    },
    ..<Item as Table>::DESC
};
/// The app of today, plus a column that may be NULL.
const NEWER: &TableDesc = &TableDesc {
    columns: &{
        let columns = <Item as Table>::DESC.columns;
        [columns[0], columns[1], columns[2], columns[3], columns[4], ColumnDesc::of::<Option<String>>("colour")]
    },
    ..<Item as Table>::DESC
};

async fn with(dir: &TempDir, items: &'static TableDesc) -> Device {
    let mut rules = rules().into_inner();
    for line in rules.iter_mut().flat_map(|rule| &mut rule.tables).filter(|line| line.table.name == "items") {
        line.table = items;
    }
    let [transfers, stock] = [&<Transfer as Table>::DESC, &<Stock as Table>::DESC];
    let mut tables = vec![items, transfers, stock];
    tables.extend(tables![Slot, Tag, Seat, Member]);
    Device::with(&place(dir), OtherUser::Apart, "ana", tables, rules).await.unwrap()
}

#[test]
fn inv27_columns_are_added_in_place_and_all_rows_asked_for_again() {
    run(async {
        let dir = TempDir::new("device");
        let before = with(&dir, &<Item as Table>::DESC).await;
        before.pull(page("c1", json!({"items": [item("a", "A")]}), json!({}))).await;
        before.mutate("rename", json!({"id": "a", "name": "Mine"})).await;
        before.store.close().await;
        let after = with(&dir, NEWER).await;
        assert_eq!(after.notices, [Notice::Migrated]);
        assert_eq!(after.names().await, "a=Mine", "until the first page comes, what was there is there");
        assert_eq!((after.store.begin_pull().await.unwrap().cursor, after.outbox().await.len()), (String::new(), 1));
        let mut row = item("a", "Theirs");
        row["colour"] = json!("red");
        after.pull(page("d1", json!({"items": [row]}), json!({}))).await;
        assert_eq!(after.names().await, "a=Mine");
        let sql = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "select colour from items");
        let found = after.store.reads().query_one_raw(sql).await.unwrap().unwrap();
        assert_eq!(found.try_get::<String>("", "colour").unwrap(), "red");
        after.store.close().await;
        assert!(with(&dir, NEWER).await.notices.is_empty());
    });
}

#[test]
fn inv27_what_cannot_be_added_is_made_anew_and_the_outbox_kept() {
    run(async {
        // A unique column is added in place too: an index keeps it so.
        for (older, in_place) in [(OLDER, true), (OTHER, false)] {
            let dir = TempDir::new("device");
            let before = with(&dir, older).await;
            before.pull(page("c1", json!({}), json!({}))).await;
            // Neither old table fits the mutators of today, so the server alone runs this one.
            let draft = nizhal_client::store::Draft {
                id: "m-1".into(),
                name: "put".into(),
                args: json!({"id": "m", "name": "Mine"}).to_string(),
                now: "2026-11-21T10:00:00Z".parse().unwrap(),
                local: false,
                depends_on: vec![],
                replaces: None,
            };
            before.store.mutate(draft).await.unwrap();
            before.store.close().await;
            let after = with(&dir, &<Item as Table>::DESC).await;
            let memory = after.store.memory().await.unwrap();
            assert_eq!((memory.waiting, memory.complete, memory.has_cursor), (1, in_place, false));
            after.pull(page("d1", json!({"items": [item("a", "A")]}), json!({}))).await;
            assert_eq!(after.names().await, "a=A");
        }
    });
}
