//! Pulls: a page or a stream that ends well lacks no row, and a device that asks again after a fault misses none.

use super::push::notes;
use super::{FAULTS, World, ann, at_each_round_trip};
use nizhal_core::wire::{PullRequest, Wire};
use nizhal_runtime::Lines;
use nizhal_runtime::engine::{Line, PullError};
use nizhal_tests::{Address, Device, StatementFault};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

/// Those of all statements, and answers that are cut off before their last row.
fn faults() -> Vec<StatementFault> {
    let amid = [StatementFault::ErrorAmid("40001"), StatementFault::ErrorAmid("XX000"), StatementFault::EndsAmid];
    FAULTS.into_iter().chain(amid).collect()
}

/// A device that nothing is sent to: it takes in what the engine answers.
fn device(id: &str) -> Device {
    Device::new(&Address::fixed("http://unused"), id, "").bucket_column("owner").wire_two()
}

fn request(device: &Device, limit: i64) -> PullRequest {
    let request = json!({"cursor": device.cursor, "deviceId": device.id, "limit": limit});
    serde_json::from_value(request).expect("a pull")
}

/// The device holds these notes, and no other.
fn assert_holds(device: &Device, all: &BTreeSet<String>, context: &str) {
    let held: BTreeSet<String> = device.rows.keys().map(|(_, id)| id.clone()).collect();
    let different: Vec<&String> = all.symmetric_difference(&held).collect();
    assert!(different.is_empty(), "{context}: {} lacks, or should not hold, {different:?}", device.id);
}

impl World {
    /// Pulls in pages of so many rows until nothing more waits, or one fails.
    async fn pull(&self, device: &mut Device, limit: i64) -> Result<(), PullError> {
        loop {
            let page = self.engine.pull(&ann(), Wire::Two, request(device, limit)).await?;
            if !device.apply(&serde_json::from_slice(&page.body).expect("JSON")).has_more {
                return Ok(());
            }
        }
    }

    /// The ids of a whole pull that comes as lines; nothing where its last line, which has the cursor, does not come.
    async fn stream(&self) -> Option<BTreeSet<String>> {
        let (to, mut from) = mpsc::channel(1_000);
        self.engine.pull_lines(&ann(), &request(&device("fresh"), 0), &Lines::new(to, Duration::from_secs(60))).await;
        let mut ids = BTreeSet::new();
        while let Some(line) = from.recv().await {
            match line {
                Ok(Line::Rows(line)) => {
                    let line: Value = serde_json::from_slice(&line).expect("JSON");
                    let rows = line["rows"].as_array().expect("rows");
                    ids.extend(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)));
                }
                Ok(Line::Last { .. }) => return Some(ids),
                Err(_) => return None,
            }
        }
        None
    }

    async fn ids(&mut self) -> BTreeSet<String> {
        self.db.rows("select id from notes").await.into_iter().filter_map(|mut row| row.remove(0)).collect()
    }
}

#[tokio::test]
async fn inv01_inv39_a_device_whose_pull_met_any_fault_misses_no_row() {
    let mut world = World::new(notes()).await;
    let mut old = device("old");
    at_each_round_trip(&faults(), 3, async |fault, number, after| {
        let context = format!("{fault:?} at round trip {after}");
        let added = ["a", "b", "c"].map(|name| format!("{name}-{number}-{after}"));
        let reply = world.add(&added).await;
        assert_eq!(world.check(&added, &reply, false, "a push before it").await, 3);
        let all = world.ids().await;
        world.proxy.arm(after, fault);
        let pulled = world.pull(&mut old, 2).await;
        let is_over = world.proxy.disarm();
        if pulled.is_ok() {
            assert_holds(&old, &all, &context);
        }
        // Where it is now, and anew.
        for device in [&mut old, &mut device("fresh")] {
            world.pull(device, 1_000).await.unwrap_or_else(|error| panic!("after {context}: {error}"));
            assert_holds(device, &all, &format!("after {context}"));
        }
        is_over
    })
    .await;
}

#[tokio::test]
async fn inv05_inv39_a_streamed_pull_that_met_any_fault_has_no_last_line_or_all_rows() {
    let mut world = World::new(notes()).await;
    // More than are read with the cursor: the rest comes by a statement of its own.
    let notes = "insert into notes (id, owner) select 'n' || i, 'ann' from generate_series(1, 1100) i";
    assert_eq!(world.db.execute(notes).await, 1100);
    let all = world.ids().await;
    let faults = [
        StatementFault::Error("XX000"),
        StatementFault::EndsBefore,
        StatementFault::ErrorAmid("XX000"),
        StatementFault::EndsAmid,
    ];
    at_each_round_trip(&faults, 5, async |fault, _, after| {
        let context = format!("{fault:?} at round trip {after}");
        world.proxy.arm(after, fault);
        let streamed = world.stream().await;
        let is_over = world.proxy.disarm();
        if let Some(ids) = streamed {
            assert!(ids == all, "{context}: {} rows", ids.len());
        }
        assert!(world.stream().await.as_ref() == Some(&all), "after {context}");
        is_over
    })
    .await;
}
