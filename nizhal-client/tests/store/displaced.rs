//! A device's file that is not the one any more that its name leads to: nothing is acknowledged that is on no disk afterwards.

use crate::app::Device;
use crate::run;
use nizhal_client::MutateError;
use nizhal_client::store::{Location, OtherUser, StoreError};
use nizhal_tests::TempDir;
use serde_json::json;
use std::path::{Path, PathBuf};

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

async fn put(device: &Device, id: &str) -> Result<(), MutateError> {
    device.try_mutate("put", json!({"id": id, "name": id})).await.map(drop)
}

async fn is_refused(device: &Device, id: &str) {
    let refused = put(device, id).await;
    assert!(matches!(refused, Err(MutateError::Store(StoreError::Displaced(_)))), "{refused:?}");
    assert!(!device.store.is_there());
}

#[test]
fn inv13_a_file_that_was_replaced_takes_no_write() {
    run(async {
        let dir = TempDir::new("displaced");
        let path = dir.path().join("app.db");
        let place = Location::File(path.clone());
        let device = Device::open(&place, OtherUser::Refuse, "ana").await.expect("a store");
        put(&device, "a").await.expect("it is written");
        std::fs::rename(&path, beside(&path, ".aside")).expect("moved");
        is_refused(&device, "b").await;
        std::fs::write(&path, "another").expect("replaced");
        is_refused(&device, "c").await;
        std::fs::rename(beside(&path, ".aside"), &path).expect("put back");
        put(&device, "d").await.expect("it is written again");
        device.store.close().await;
        let again = Device::open(&place, OtherUser::Refuse, "ana").await.expect("a store");
        assert_eq!(again.names().await, "a=a d=d");
    });
}

#[test]
fn inv13_what_a_lost_log_held_is_written_into_the_file() {
    run(async {
        let dir = TempDir::new("log");
        let path = dir.path().join("app.db");
        let place = Location::File(path.clone());
        let device = Device::open(&place, OtherUser::Refuse, "ana").await.expect("a store");
        put(&device, "a").await.expect("it is written");
        for end in ["-wal", "-shm"] {
            std::fs::remove_file(beside(&path, end)).expect("removed");
        }
        is_refused(&device, "b").await;
        device.store.save().await.expect("it is saved");
        device.store.close().await;
        let again = Device::open(&place, OtherUser::Refuse, "ana").await.expect("a store");
        assert_eq!(again.names().await, "a=a");
    });
}
