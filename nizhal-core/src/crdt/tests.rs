//! Documents in the small: what merges, what is kept, what is refused. Yjs itself is asked in `tests/`.

use super::*;
use serde_json::json;
use yrs::updates::decoder::Decode;
use yrs::{Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, Update};

/// A writer with a document of its own, and the updates that it made.
struct Writer(Doc);

impl Writer {
    fn new(client: u64) -> Self {
        let writer = Self(Doc::with_client_id(client));
        writer.0.get_or_insert_text("text");
        writer.0.get_or_insert_map("map");
        writer
    }

    fn write(&self, change: impl FnOnce(&mut yrs::TransactionMut<'_>)) -> CrdtUpdate {
        let mut tx = self.0.transact_mut();
        change(&mut tx);
        tx.commit();
        CrdtUpdate::from_bytes(tx.encode_update_v1()).unwrap()
    }

    fn insert(&self, at: u32, text: &str) -> CrdtUpdate {
        self.write(|tx| tx.get_text("text").unwrap().insert(tx, at, text))
    }

    fn delete(&self, at: u32, len: u32) -> CrdtUpdate {
        self.write(|tx| tx.get_text("text").unwrap().remove_range(tx, at, len))
    }

    fn read(&self, state: &[u8]) {
        self.0.transact_mut().apply_update(Update::decode_v1(state).unwrap()).unwrap();
    }
}

fn update(bytes: &[u8]) -> Result<CrdtUpdate, CrdtError> {
    CrdtUpdate::from_bytes(bytes.to_vec())
}

#[test]
fn edits_merge_in_any_order_and_once() {
    let (ann, bob) = (Writer::new(7), Writer::new((1 << 53) - 1));
    let updates = [ann.insert(0, "abc"), bob.insert(0, "xyz"), ann.delete(1, 1), bob.insert(3, "😀")];
    let mut there = CrdtText::new();
    let mut back = CrdtText::new();
    for update in &updates {
        assert!(there.merge(update).unwrap());
        assert!(!there.merge(update).unwrap(), "a second time tells nothing new");
    }
    for update in updates.iter().rev() {
        assert!(back.merge(update).unwrap());
    }
    assert_eq!(there.text().unwrap(), "acxyz😀");
    assert_eq!(back.text().unwrap(), "acxyz😀");
}

#[test]
fn many_small_updates_stay_small_and_what_is_deleted_is_gone() {
    let ann = Writer::new(4_000_000_000);
    let mut note = CrdtText::new();
    for at in 0..2_000 {
        note.merge(&ann.insert(at, "x")).unwrap();
    }
    assert_eq!(note.text().unwrap().len(), 2_000);
    assert!(note.as_bytes().len() < 2_050, "{note:?}");
    note.merge(&ann.insert(1_000, "a secret")).unwrap();
    assert!(note.as_bytes().windows(8).any(|part| part == b"a secret"));
    note.merge(&ann.delete(0, 2_008)).unwrap();
    assert_eq!(note.text().unwrap(), "");
    assert!(note.as_bytes().len() < 64, "{note:?}");
}

#[test]
fn what_builds_on_what_is_missing_is_kept() {
    let (ann, bob) = (Writer::new(1), Writer::new(2));
    let first = ann.insert(0, "hello");
    bob.read(first.as_bytes());
    let (second, third) = (bob.insert(5, " world"), bob.delete(0, 1));
    let mut note = CrdtText::new();
    assert!(note.merge(&third).unwrap());
    assert!(note.merge(&second).unwrap());
    assert_eq!(note.text().unwrap(), "");
    assert!(!note.merge(&second).unwrap(), "it waits already");
    assert!(note.merge(&first).unwrap());
    assert_eq!(note.text().unwrap(), "ello world");
    assert_eq!(CrdtText::from_state(note.state.clone()).unwrap(), note);
}

#[test]
fn maps_hold_values_and_types() {
    let (ann, bob) = (Writer::new(1), Writer::new(2));
    let mut map =
        CrdtMap::from_json(json!({"n": 1, "gone": {"deep": [true, null, "x"]}}).as_object().unwrap()).unwrap();
    ann.read(map.as_bytes());
    bob.read(map.as_bytes());
    let set = |tx: &mut yrs::TransactionMut<'_>, key: &str, value: i32| {
        tx.get_map("map").unwrap().insert(tx, key, value);
    };
    let updates = [
        ann.write(|tx| set(tx, "a", 1)),
        bob.write(|tx| set(tx, "b", 2)),
        ann.write(|tx| {
            tx.get_map("map").unwrap().remove(tx, "gone");
        }),
        bob.write(|tx| {
            tx.get_map("map").unwrap().insert(tx, "in", MapPrelim::from([("k", "v")]));
        }),
    ];
    for update in &updates {
        assert!(map.merge(update).unwrap());
    }
    assert_eq!(map.to_json().unwrap(), json!({"n": 1, "a": 1, "b": 2, "in": {"k": "v"}}));
    assert_eq!(map.get("in").unwrap(), Some(json!({"k": "v"})));
    assert_eq!(map.get("gone").unwrap(), None);
    assert!(!map.as_bytes().windows(4).any(|part| part == b"deep"));
    // The order of an object's keys changes from one reading to the next; that is nothing new.
    assert!(!map.merge(&CrdtUpdate::from_bytes(map.as_bytes().to_vec()).unwrap()).unwrap());
}

#[test]
fn first_contents_are_the_same_everywhere() {
    assert_eq!(CrdtText::from_text("same"), CrdtText::from_text("same"));
    let other = CrdtText::from_text("other");
    let mut text = CrdtText::from_text("same");
    text.merge(&CrdtUpdate::from_bytes(other.state).unwrap()).unwrap();
    assert_eq!(text.text().unwrap().len(), 9, "two contents never have one id");
    assert_eq!(CrdtText::from_text(""), CrdtText::default());
}

#[test]
fn updates_for_another_column_are_refused() {
    let text = CrdtUpdate::from_bytes(CrdtText::from_text("x").state).unwrap();
    let error = CrdtMap::new().merge(&text).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("writes to the type named \"text\", and the column keeps `doc.getMap(\"map\")` alone"),
        "{error}"
    );
    let doc = Doc::with_client_id(1);
    doc.get_or_insert_map("text").insert(&mut doc.transact_mut(), "k", MapPrelim::default());
    let nested = CrdtUpdate::from_bytes(doc.transact().encode_state_as_update_v1(&StateVector::default())).unwrap();
    assert!(CrdtText::new().merge(&nested).unwrap_err().to_string().contains("no nested types"));
}

#[test]
fn what_is_no_update_is_refused() {
    let long = |byte: u8, count: usize| {
        [&[1, 1, 1, 0, 0x28, 1, 3][..], b"map", &[1, b'k', 1], &[byte, 1].repeat(count)].concat()
    };
    for (bytes, reason) in [
        (&b""[..], "ends too early"),
        (&[0], "ends too early"),
        (&[0, 0, 0], "after its end"),
        // Four billion clients, structs, values: nothing is reserved for them.
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 0], "ends too early"),
        (&[1, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0], "ends too early"),
        (&[1, 1, 1, 0, 8, 1, 1, b'x', 0xff, 0xff, 0xff, 0x7f], "ends too early"),
        (&[1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 1, 0], "out of range"),
        (&[1, 1, 1, 0, 0, 0, 0], "out of range"),
        (&[1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0, 0, 1, 0], "53 bits"),
        (&[1, 1, 1, 0, 0x84, 1, 0, 1, b'x', 0], "builds on a later one"),
        (&[0, 1, 1, 2, 5, 1, 0, 1], "not in order"),
        (&[2, 1, 1, 0, 0, 1, 1, 1, 0, 1, 0], "comes twice"),
        (&[1, 1, 1, 0, 2, 1, 1, b'x', 0], "older than version 13"),
        (&[1, 1, 1, 0, 4, 1, 1, b'x', 1, 0xff, 0], "not UTF-8"),
        (&long(117, 1_000), "nested more than 64 deep"),
        (&vec![0; (1 << 20) + 1], "more than 1048576 bytes"),
    ] {
        let error = update(bytes).expect_err(reason).to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn a_broken_state_is_no_fault_of_the_update() {
    assert!(matches!(CrdtText::from_state(vec![1, 2, 3]), Err(CrdtError::State(_))));
    assert!(matches!(Error::from(CrdtError::State(String::new())), Error::Internal(_)));
    assert!(matches!(Error::from(CrdtError::Update(String::new())), Error::InvalidArgs(_)));
}

/// Nested maps, each within the one before: `from` is the first one's clock.
fn tower(client: u8, from: u32, height: u32) -> Vec<u8> {
    tower_after("", client, from, height)
}

/// As [`tower`], with a text before it in the map, which takes the clocks below `from`.
fn tower_after(text: &str, client: u8, from: u32, height: u32) -> Vec<u8> {
    use yrs::encoding::write::Write;
    use yrs::updates::encoder::{Encoder, EncoderV1};
    let mut out = EncoderV1::new();
    out.write_var(1u32);
    out.write_var(height + u32::from(!text.is_empty()));
    out.write_var(u32::from(client));
    out.write_var(if text.is_empty() { from } else { 0 });
    if !text.is_empty() {
        out.write_u8(0x24);
        out.write_var(1u32);
        out.write_string("map");
        out.write_string("t");
        out.write_string(text);
    }
    for clock in from..from + height {
        out.write_u8(0x27);
        if clock == 0 || clock == from && !text.is_empty() {
            out.write_var(1u32);
            out.write_string("map");
        } else {
            out.write_var(0u32);
            out.write_var(u32::from(client));
            out.write_var(clock - 1);
        }
        out.write_string("k");
        out.write_u8(1);
    }
    out.write_var(0u32);
    out.to_vec()
}

#[test]
fn types_nest_only_so_deep() {
    let mut map = CrdtMap::new();
    map.merge(&update(&tower(1, 0, 32)).unwrap()).unwrap();
    assert!(map.to_json().unwrap().to_string().starts_with("{\"k\":{\"k\":"));
    for (from, height) in [(32, 1), (32, 50_000 / 2), (0, 33)] {
        let error = map.merge(&update(&tower(1, from, height)).unwrap()).unwrap_err();
        assert!(error.to_string().contains("nested too deeply"), "{error}");
    }
    // A second telling of what is there, with another parent, does not make it shallower.
    let mut lie = tower(1, 31, 2);
    let named = [&[0x27, 1, 3][..], b"map", &[1, b'k', 1]].concat();
    lie.splice(4..11, named);
    assert!(map.merge(&update(&lie).unwrap()).unwrap_err().to_string().contains("nested too deeply"));
    // Clocks count UTF-16 units: after an emoji, parents are still found.
    let error = CrdtMap::new().merge(&update(&tower_after("😀", 1, 2, 33)).unwrap()).unwrap_err();
    assert!(error.to_string().contains("nested too deeply"), "{error}");
    // In pieces that arrive from the inside out, none of which shows how deep it is.
    let mut map = CrdtMap::new();
    map.merge(&update(&tower(1, 20, 30)).unwrap()).unwrap();
    assert!(map.merge(&update(&tower(1, 0, 20)).unwrap()).is_err());
}

/// Changed bytes of real updates: whatever comes of them, nothing panics through and nothing unreadable is stored.
#[test]
fn mangled_updates_do_no_harm() {
    let (ann, bob) = (Writer::new(9), Writer::new(300));
    let mut seeds = vec![ann.insert(0, "hello 😀"), ann.insert(3, "abc"), ann.delete(1, 4), bob.insert(0, "zzz")];
    seeds.push(ann.write(|tx| {
        tx.get_map("map").unwrap().insert(tx, "k", MapPrelim::from([("a", 1), ("b", 2)]));
    }));
    seeds.push(ann.write(|tx| {
        tx.get_map("map").unwrap().insert(tx, "k", "v");
    }));
    bob.read(&ann.0.transact().encode_state_as_update_v1(&StateVector::default()));
    seeds.push(bob.insert(4, "x"));
    seeds.push(update(&bob.0.transact().encode_state_as_update_v1(&StateVector::default())).unwrap());
    let mut state = nizhal_seeds::state("mangled updates");
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    let rounds = nizhal_seeds::count(2_000);
    let (mut text, mut map, mut taken) = (CrdtText::new(), CrdtMap::new(), 0_u64);
    for round in 0..rounds {
        if round % 50 == 0 {
            (text, map) = (CrdtText::new(), CrdtMap::new());
        }
        let mut bytes = seeds[random(seeds.len())].as_bytes().to_vec();
        for _ in 0..random(4) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = random(256) as u8,
                1 => bytes[at] = bytes[at].wrapping_add(1),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, random(4) as u8),
            }
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        let Ok(update) = update(&bytes) else { continue };
        taken += u64::from(text.merge(&update).is_ok()) + u64::from(map.merge(&update).is_ok());
        text = CrdtText::from_state(text.state).unwrap();
        map = CrdtMap::from_state(map.state).unwrap();
        text.text().unwrap();
        map.to_json().unwrap();
    }
    assert!(taken > rounds / 10, "{taken} of {rounds}");
}

#[test]
fn a_document_keeps_the_root_that_its_column_names() {
    let update = |text: &CrdtText| CrdtUpdate::from_bytes(text.as_bytes().to_vec()).unwrap();
    let first = CrdtText::from_text_in("echo:text", "taken over");
    let mut stored = CrdtText::from_state(first.as_bytes().to_vec()).unwrap();
    assert_eq!((stored.text().unwrap(), &stored), ("taken over".to_owned(), &first));
    assert!(stored.merge(&update(&CrdtText::from_text_in("echo:text", ", and more"))).unwrap());
    assert_eq!(stored.text().unwrap().len(), "taken over, and more".len());
    // Another type's update is refused, under any of the names.
    let error = stored.merge(&update(&CrdtText::from_text("x"))).unwrap_err().to_string();
    assert!(error.contains(r#"the type named "text""#) && error.contains(r#"doc.getText("echo:text")"#), "{error}");
    assert!(CrdtText::from_update(&update(&first)).is_err());
    assert_eq!(CrdtText::from_update_in("echo:text", &update(&first)).unwrap(), first);
    // A column that names another root than its document has says so, and changes nothing.
    assert!(matches!(stored.merge_in("text", &update(&CrdtText::from_text("x"))), Err(CrdtError::State(_))));
    let json = serde_json::json!({"colour": "red"});
    let map = CrdtMap::from_json_in("echo:map", json.as_object().unwrap()).unwrap();
    assert_eq!(CrdtMap::from_state(map.as_bytes().to_vec()).unwrap().to_json().unwrap(), json);
}
