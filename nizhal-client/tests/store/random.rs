//! Random mutations and random snapshots against the plainest model: the server's rows, and the pending mutations run over them.

use crate::app::{Device, item, page};
use crate::run;
use nizhal_core::Random;
use serde_json::{Value, json};
use std::collections::BTreeMap;

type Rows = BTreeMap<String, (String, i64)>;

/// What each mutator does, in as few words as can be.
fn play(rows: &mut Rows, name: &str, id: &str, text: &str) {
    match name {
        "put" => {
            rows.entry(id.to_owned()).or_insert((text.to_owned(), 0));
        }
        "rename" => {
            if let Some(row) = rows.get_mut(id) {
                row.0 = text.to_owned();
            }
        }
        "bump" => {
            if let Some(row) = rows.get_mut(id) {
                row.1 += 1;
            }
        }
        "dropItem" => {
            rows.remove(id);
        }
        _ => {
            if let Some(row) = rows.remove(id) {
                rows.insert(text.to_owned(), row);
            }
        }
    }
}

struct Pending {
    name: &'static str,
    id: String,
    text: String,
    number: i64,
    answered: bool,
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const MUTATORS: [&str; 5] = ["put", "rename", "bump", "dropItem", "rekey"];

async fn case(seed: u64) {
    let mut random = Random::of(&format!("case {seed}"));
    let mut pick = |limit: usize| usize::try_from(random.below(limit as u64)).unwrap();
    let device = Device::new().await;
    let (mut server, mut pending, mut number) = (Rows::new(), Vec::<Pending>::new(), 0);
    for step in 0..30 {
        match pick(6) {
            0..3 => {
                let (name, id) = (MUTATORS[pick(MUTATORS.len())], KEYS[pick(KEYS.len())]);
                let text = if name == "rekey" { KEYS[pick(KEYS.len())].to_owned() } else { format!("t{step}") };
                if name == "rekey" && text == id {
                    continue;
                }
                if device.try_mutate(name, json!({"id": id, "name": text})).await.is_ok() {
                    number += 1;
                    pending.push(Pending { name, id: id.to_owned(), text, number, answered: false });
                }
            }
            3 => {
                // The server answers some of what waits, from the front; refused ones never run.
                let waiting: Vec<usize> = (0..pending.len()).filter(|&at| !pending[at].answered).collect();
                let count = pick(waiting.len() + 1);
                for &at in &waiting[..count] {
                    let one = &pending[at];
                    if pick(4) == 0 {
                        device.answer(1, "rejected").await;
                        pending[at].number = -1;
                    } else {
                        play(&mut server, one.name, &one.id, &one.text);
                        device.answer(1, "applied").await;
                        pending[at].answered = true;
                    }
                }
                pending.retain(|one| one.number > 0);
            }
            _ => {
                // A stranger writes, and the device pulls, in one page or two, the whole or what is new.
                for _ in 0..pick(4) {
                    let (name, id) = (MUTATORS[pick(4)], KEYS[pick(KEYS.len())]);
                    play(&mut server, name, id, &format!("s{step}"));
                }
                let last = pending.iter().filter(|one| one.answered).map(|one| one.number).max().unwrap_or(0);
                pull(&device, &server, step, last, pick(2) == 0, pick(2) == 0).await;
                // Answered, and numbered up to the acknowledgement: their effects are in the rows.
                pending.retain(|one| !one.answered);
            }
        }
        let mut expected = server_seen(&device, &server).await;
        for one in &pending {
            play(&mut expected, one.name, &one.id, &one.text);
        }
        let shown: Rows = device.items().await.into_iter().map(|(id, name, count)| (id, (name, count))).collect();
        assert_eq!(shown, expected, "seed {seed}, step {step}; {}", nizhal_seeds::again(seed));
    }
}

thread_local! {
    /// The server's rows as the device last heard of them.
    static HEARD: std::cell::RefCell<Rows> = const { std::cell::RefCell::new(Rows::new()) };
}

async fn server_seen(device: &Device, _server: &Rows) -> Rows {
    let _ = device;
    HEARD.with_borrow(Rows::clone)
}

async fn pull(device: &Device, server: &Rows, step: usize, last: i64, reset: bool, paged: bool) {
    let row = |(id, (name, count)): (&String, &(String, i64))| {
        let mut row = item(id, name);
        row["count"] = json!(count.to_string());
        row
    };
    let rows: Vec<Value> = server.iter().map(row).collect();
    let gone: Vec<Value> = KEYS
        .iter()
        .filter(|key| !server.contains_key(**key) && !reset)
        .map(|key| json!({"table": "items", "id": key}))
        .collect();
    let (first, second) = rows.split_at(if paged { rows.len() / 2 } else { 0 });
    if paged {
        let more = json!({"hasMore": true, "complete": false, "cursorReset": reset});
        device.pull(page(&format!("c{step}a"), json!({"items": first}), more)).await;
    }
    let end = json!({"tombstoned": gone, "lastMutationId": last, "cursorReset": reset && !paged});
    device.pull(page(&format!("c{step}b"), json!({"items": second}), end)).await;
    HEARD.with_borrow_mut(|heard| heard.clone_from(server));
}

#[test]
fn inv11_rows_are_always_the_servers_with_what_waits_over_them() {
    run(async {
        for seed in nizhal_seeds::range(30) {
            HEARD.with_borrow_mut(Rows::clear);
            case(seed).await;
        }
    });
}
