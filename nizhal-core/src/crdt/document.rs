//! The work on documents themselves, by yrs: loading, merging, compacting, reading.

use super::scan::{Expected, scan};
use super::{CrdtError, Kind, MAX_STATE_BYTES, Nest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value as Json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, GetString, Map, Options, Out, ReadTxn, StateVector, Transact, Update, WriteTxn};

/// Checks bytes that claim to be a document's state; answers the name of its root, when it has one.
pub(super) fn check(kind: Kind, state: &[u8]) -> Result<Option<String>, CrdtError> {
    let root = scan(state, Expected::Document(kind), &mut Nest::default()).map_err(CrdtError::State)?;
    Ok(root.map(str::to_owned))
}

/// The state with the update in it, compacted; `None` when the update tells nothing new.
pub(super) fn merge(kind: Kind, root: &str, state: &[u8], update: &[u8]) -> Result<Option<Vec<u8>>, CrdtError> {
    let (mut nest, expected) = (Nest::default(), Expected::Root(kind, root));
    scan(state, expected, &mut nest).map_err(CrdtError::State)?;
    scan(update, expected, &mut nest).map_err(CrdtError::Update)?;
    if !nest.is_shallow() {
        return Err(CrdtError::Update("its types are nested too deeply".to_owned()));
    }
    let doc = load(state)?;
    let merged = guarded(|| {
        let before = state_key(&doc);
        apply(&doc, update)?;
        // A transaction collects what was deleted when it ends, so what is encoded holds none of it.
        Ok((state_key(&doc) != before).then(|| doc.transact().encode_state_as_update_v1(&StateVector::default())))
    });
    let Some(merged) = merged.map_err(CrdtError::Update)? else { return Ok(None) };
    // Whatever is stored must be readable again.
    scan(&merged, expected, &mut Nest::default()).map_err(CrdtError::Update)?;
    if merged.len() > MAX_STATE_BYTES {
        return Err(CrdtError::Update(format!("the document would have more than {MAX_STATE_BYTES} bytes")));
    }
    Ok(Some(merged))
}

/// All that tells two states of one document apart: what was written, deleted, and kept for later.
fn state_key(doc: &Doc) -> impl PartialEq + use<> {
    let tx = doc.transact();
    let pending = tx.store().pending_update().map(|pending| pending.update.insertions(true));
    let (written, deleted) = (tx.state_vector(), tx.snapshot().delete_set);
    (written, deleted, pending, tx.store().pending_ds().cloned())
}

/// The state of a document that this function fills, by a writer of this number.
pub(super) fn made(client: u64, fill: impl FnOnce(&mut yrs::TransactionMut<'_>)) -> Vec<u8> {
    let doc = empty(client);
    fill(&mut doc.transact_mut());
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

/// The text of a state under this root.
pub(super) fn text(root: &str, state: &[u8]) -> Result<String, CrdtError> {
    let doc = load(state)?;
    let read = guarded(|| {
        let mut tx = doc.transact_mut();
        let text = tx.get_or_insert_text(root);
        Ok(text.get_string(&tx))
    });
    read.map_err(CrdtError::State)
}

/// The map of a state under this root, or what one of its keys holds.
pub(super) fn map(root: &str, state: &[u8], key: Option<&str>) -> Result<Option<Json>, CrdtError> {
    let doc = load(state)?;
    let read = guarded(|| {
        let mut tx = doc.transact_mut();
        let map = tx.get_or_insert_map(root);
        Ok(match key {
            Some(key) => map.get(&tx, key).map(|value| out(&value, &tx)),
            None => Some(out(&Out::YMap(map), &tx)),
        })
    });
    read.map_err(CrdtError::State)
}

fn empty(client: u64) -> Doc {
    let mut options = Options::with_guid_and_client_id("".into(), yrs::block::ClientID::new(client));
    // Redundant formatting is the devices' to tidy up: here it would be a write that nobody sent.
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

fn load(state: &[u8]) -> Result<Doc, CrdtError> {
    let loaded = guarded(|| {
        // Nothing is written here, so the writer's number is never used.
        let doc = empty(0);
        apply(&doc, state)?;
        Ok(doc)
    });
    loaded.map_err(CrdtError::State)
}

fn apply(doc: &Doc, update: &[u8]) -> Result<(), String> {
    let update = Update::decode_v1(update).map_err(|error| error.to_string())?;
    doc.transact_mut().apply_update(update).map_err(|error| error.to_string())
}

/// Runs yrs where its panics are errors: it asserts what an update made with ill will may break.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err("it contradicts itself or what is there".to_owned()))
}

fn out(value: &Out, tx: &impl ReadTxn) -> Json {
    any(&yrs::types::ToJson::to_json(value, tx))
}

/// What JSON cannot say becomes what it can: bytes are base64, and numbers that are none are null.
fn any(value: &Any) -> Json {
    match value {
        Any::Null | Any::Undefined => Json::Null,
        Any::Bool(yes) => (*yes).into(),
        Any::Number(yrs::any::Number::Int(number)) => (*number).into(),
        Any::Number(yrs::any::Number::Float(number)) => (*number).into(),
        Any::String(text) => (&**text).into(),
        Any::Buffer(bytes) => STANDARD.encode(bytes).into(),
        Any::Array(items) => items.iter().map(any).collect(),
        Any::Map(members) => Json::Object(members.iter().map(|(key, value)| (key.clone(), any(value))).collect()),
    }
}
