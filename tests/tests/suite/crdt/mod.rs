//! CRDT columns against Yjs itself: what devices write with Yjs, the server merges, and Yjs reads again.

mod app;
mod yjs;

use app::{App, Note};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use nizhal::Table as _;
use nizhal::prelude::sea_orm::ConnectionTrait as _;
use nizhal_tests::{Device, Kind};
use serde_json::{Value, json};
use yjs::Yjs;

/// Writes each test for both databases.
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        both!(postgres Postgres: $($name),*);
        both!(sqlite Sqlite: $($name),*);
    };
    ($module:ident $kind:ident: $($name:ident),*) => {
        mod $module {
            $(#[actix_web::test]
            async fn $name() {
                super::$name(super::Kind::$kind).await;
            })*
        }
    };
}

mod root;

both![
    devices_that_write_at_random_agree_with_yjs,
    concurrent_merges_lose_nothing,
    a_document_merges_whenever_it_was_written,
    what_comes_early_waits,
    first_texts_and_whole_documents_are_read_by_yjs,
    what_is_no_update_is_refused,
    a_merge_that_tells_nothing_new_writes_nothing,
    the_contract_tells_which_columns_merge,
    a_document_under_another_root_is_not_written,
    documents_of_another_root_are_taken_over,
];

const ID: &str = "n1";

/// A note with this first text.
async fn add(device: &mut Device, text: &str) {
    device.mutate("addNote", &json!({"clientId": ID, "text": text})).await.expect(200);
}

async fn edit(device: &mut Device, name: &str, update: &str) {
    device.mutate(name, &json!({"id": ID, "update": update})).await.expect(200);
}

/// A column of the note as a device pulls it.
async fn pulled(device: &mut Device, column: &str) -> String {
    device.pull().await;
    device.row("notes", ID).expect("the note is there")[column].as_str().expect("base64").to_owned()
}

/// What must be the same in two documents; not the bytes, where objects have their keys in any order.
fn shown(document: &Value) -> Value {
    json!([document["text"], runs(&document["delta"]), document["map"], document["vector"], document["waits"]])
}

/// The runs of text with the same formatting. Yjs takes marks that change nothing out where a document applies an update, so two that
/// hold the same may be cut at different places.
fn runs(delta: &Value) -> Vec<Value> {
    let mut runs: Vec<Value> = Vec::new();
    for piece in delta.as_array().into_iter().flatten() {
        match runs.last_mut().filter(|last| last.get("attributes") == piece.get("attributes")) {
            Some(last) if last["insert"].is_string() && piece["insert"].is_string() => {
                let joined = [&last["insert"], &piece["insert"]].map(|text| text.as_str().unwrap_or_default()).concat();
                last["insert"] = joined.into();
            }
            _ => runs.push(piece.clone()),
        }
    }
    runs
}

async fn devices_that_write_at_random_agree_with_yjs(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let clients = [1, u64::from(u32::MAX), 1 << 40, (1 << 53) - 1];
    let mut devices: Vec<Device> = clients.iter().map(|client| app.device(&format!("u{client}"))).collect();
    add(&mut devices[0], "").await;
    for (column, mutator, what) in [("body", "editBody", "randomText"), ("tags", "editTags", "randomMap")] {
        let all = yjs.document(None);
        let documents: Vec<_> = clients.iter().map(|&client| yjs.document(client)).collect();
        let mut seed = nizhal_seeds::first();
        for round in 0..25 {
            let mut updates = Vec::new();
            for document in &documents {
                seed += 1;
                let edits: Vec<Value> = (0..3).map(|nth| json!([what, seed * 7 + nth])).collect();
                updates.push(yjs.edit(document, &json!(edits)));
            }
            let pushes = devices.iter_mut().zip(&updates).map(|(device, update)| edit(device, mutator, update));
            join_all(pushes).await;
            updates.iter().for_each(|update| yjs.apply(&all, update));
            // One of them comes online, in turns; the others go on with what they know.
            let online = round % devices.len();
            let state = pulled(&mut devices[online], column).await;
            yjs.apply(&documents[online], &state);
            let (ours, theirs) = (yjs.read_state(&state), yjs.read(&all));
            assert_eq!(shown(&ours), shown(&theirs), "{column}, round {round}");
        }
        let (ours, theirs) = (pulled(&mut devices[0], column).await, yjs.read(&all));
        assert!(theirs["text"] != "" || theirs["map"] != json!({}), "something was written: {theirs}");
        let theirs = theirs["state"].as_str().expect("base64").len();
        assert!(ours.len() <= theirs + theirs / 10, "{} bytes, where Yjs needs {theirs}", ours.len());
    }
    app.stop().await;
}

async fn concurrent_merges_lose_nothing(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut first = app.device("u0");
    add(&mut first, "The shared text.").await;
    let state = pulled(&mut first, "body").await;
    let all = yjs.document(None);
    yjs.apply(&all, &state);
    let mut devices: Vec<Device> = (1..=24).map(|nth| app.device(&format!("u{nth}"))).collect();
    let mut mutations = Vec::new();
    for (nth, device) in devices.iter_mut().enumerate() {
        let document = yjs.document(None);
        yjs.apply(&document, &state);
        let update = yjs.edit(&document, &json!([["insert", 4, format!("<{nth}>")]]));
        yjs.apply(&all, &update);
        mutations.push(device.mutation("editBody", &json!({"id": ID, "update": update})));
    }
    let pushes =
        || join_all(devices.iter().zip(&mutations).map(|(device, one)| device.push(std::slice::from_ref(one))));
    for reply in pushes().await {
        reply.expect(200);
    }
    let state = pulled(&mut first, "body").await;
    let (ours, theirs) = (yjs.read_state(&state), yjs.read(&all));
    assert_eq!(shown(&ours), shown(&theirs));
    for nth in 0..devices.len() {
        assert!(ours["text"].as_str().expect("a text").contains(&format!("<{nth}>")), "{ours}");
    }
    // A retried push changes nothing.
    for reply in pushes().await {
        reply.expect(200);
    }
    assert!(first.page(None).await.changed.is_empty());
    app.stop().await;
}

/// The table's other columns merge by their stamps; a document takes every update.
async fn a_document_merges_whenever_it_was_written(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    let document = yjs.document(None);
    let updates = ["first", "second"].map(|text| yjs.edit(&document, &json!([["insert", 0, text]])));
    add(&mut device, "").await;
    for (update, year) in updates.iter().zip([2026, 2021]) {
        let mut mutation = device.mutation("editBody", &json!({"id": ID, "update": update}));
        mutation["hlc"] = json!(format!("{year}-01-01T00:00:00.000Z-0000-000000000000000000000000000000aa"));
        device.push(&[mutation]).await.expect(200);
    }
    let state = pulled(&mut device, "body").await;
    assert_eq!(yjs.read_state(&state)["text"], "secondfirst");
    app.stop().await;
}

async fn what_comes_early_waits(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    add(&mut device, "").await;
    let (ann, bob) = (yjs.document(None), yjs.document(None));
    // Each builds on the one before: by place, by another writer, by the writer's own count alone, and by deleting.
    let first = yjs.edit(&ann, &json!([["insert", 0, "one "]]));
    yjs.apply(&bob, &first);
    let second = yjs.edit(&bob, &json!([["insert", 4, "two "]]));
    yjs.apply(&ann, &second);
    let third = yjs.edit(&ann, &json!([["insert", 0, "zero "]]));
    yjs.apply(&bob, &third);
    let fourth = yjs.edit(&bob, &json!([["delete", 0, 7]]));
    let all = yjs.document(None);
    for update in [&fourth, &third, &second, &first] {
        yjs.apply(&all, update);
        edit(&mut device, "editBody", update).await;
        let state = pulled(&mut device, "body").await;
        let (ours, theirs) = (yjs.read_state(&state), yjs.read(&all));
        assert_eq!(shown(&ours), shown(&theirs));
        let note = Note::find_by_id(ID).one(app.server.database()).await.expect("a row").expect("it is there");
        assert_eq!(note.text(), theirs["text"], "as the server reads it");
    }
    assert_eq!(yjs.read(&all)["text"], "e two ");
    // Nothing but the writer's own count says that something is missing.
    let (ann, all) = (yjs.document(None), yjs.document(None));
    let sets = ["a", "b", "c"].map(|key| yjs.edit(&ann, &json!([["set", key, key]])));
    for update in [&sets[2], &sets[0], &sets[1]] {
        yjs.apply(&all, update);
        edit(&mut device, "editTags", update).await;
        let state = pulled(&mut device, "tags").await;
        let (ours, theirs) = (yjs.read_state(&state), yjs.read(&all));
        assert_eq!(shown(&ours), shown(&theirs));
    }
    let note = Note::find_by_id(ID).one(app.server.database()).await.expect("a row").expect("it is there");
    assert_eq!((note.tags(), &yjs.read(&all)["waits"]), (json!({"a": "a", "b": "b", "c": "c"}), &json!(false)));
    app.stop().await;
}

async fn first_texts_and_whole_documents_are_read_by_yjs(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    let text = "வணக்கம் 😀 e\u{301} \u{0} 👨‍👩‍👧";
    add(&mut device, text).await;
    let state = pulled(&mut device, "body").await;
    let document = yjs.document(None);
    yjs.apply(&document, &state);
    assert_eq!(yjs.read(&document)["text"], text);
    assert_eq!(yjs.read(&document)["state"], state, "byte for byte what Yjs writes");
    assert_eq!(device.row("notes", ID).expect("it is there")["tags"], Value::Null);
    // Yjs goes on with what yrs began, and cuts the emoji in two.
    let update = yjs.edit(&document, &json!([["delete", 9, 1], ["insert", 0, "!"]]));
    edit(&mut device, "editBody", &update).await;
    let state = pulled(&mut device, "body").await;
    assert_eq!(shown(&yjs.read_state(&state)), shown(&yjs.read(&document)));
    assert_eq!(yjs.read(&document)["state"], state);
    // A document that the device made.
    let own = yjs.document((1 << 53) - 2);
    let update = yjs.edit(&own, &json!([["insert", 0, "from the device"], ["delete", 0, 5]]));
    device.mutate("addNote", &json!({"clientId": "n2", "body": update})).await.expect(200);
    device.pull().await;
    assert_eq!(device.row("notes", "n2").expect("it is there")["body"], yjs.read(&own)["state"]);
    // A whole document in the other's place: what was written before is gone.
    device.mutate("rewriteBody", &json!({"id": ID, "text": "anew"})).await.expect(200);
    let state = pulled(&mut device, "body").await;
    assert_eq!(yjs.read_state(&state)["text"], "anew");
    app.stop().await;
}

async fn what_is_no_update_is_refused(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    add(&mut device, "text").await;
    let before = pulled(&mut device, "body").await;
    let document = yjs.document(None);
    let good = yjs.edit(&document, &json!([["insert", 0, "x"]]));
    let map = yjs.edit(&document, &json!([["set", "k", 1]]));
    let subdocument = yjs.edit(&document, &json!([["subdocument"]]));
    let elsewhere = yjs.edit(&document, &json!([["elsewhere"]]));
    for (mutator, update, reason) in [
        ("editBody", "???", "update: a Yjs update is written in base64, padded"),
        ("editBody", "AAAA", "there are bytes after its end"),
        ("editBody", "", "it ends too early"),
        ("editBody", &good[..good.len() - 4], "it ends too early"),
        ("editBody", &map, "writes to the type named \\\"map\\\""),
        ("editBody", &elsewhere, "the column keeps `doc.getText(\\\"text\\\")` alone"),
        ("editTags", &good, "the column keeps `doc.getMap(\\\"map\\\")` alone"),
        ("editTags", &subdocument, "documents within documents"),
    ] {
        let reply = device.mutate(mutator, &json!({"id": ID, "update": update})).await.refused(422, "invalid_args");
        assert!(reply.text.contains(reason), "{reason}: {}", reply.text);
    }
    let reply = device.mutate("editBody", &json!({"id": "n9", "update": good})).await.refused(422, "rejected");
    assert!(reply.text.contains("there is no row with this key in notes"), "{}", reply.text);
    // The mutator's own rule undoes the merge.
    let document = yjs.document(None);
    let long = yjs.edit(&document, &json!([["insert", 0, "x".repeat(100_001)]]));
    device.mutate("editBody", &json!({"id": ID, "update": long})).await.refused(422, "rejected");
    assert_eq!(pulled(&mut device, "body").await, before);
    app.stop().await;
}

async fn a_merge_that_tells_nothing_new_writes_nothing(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    add(&mut device, "").await;
    let document = yjs.document(None);
    // Objects have their keys in another order each time that they are read, so bytes would not tell.
    let update = yjs.edit(
        &document,
        &json!([["set", "k", {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}], ["set", "l", 1], ["unset", "l"]]),
    );
    edit(&mut device, "editTags", &update).await;
    let state = pulled(&mut device, "tags").await;
    for again in [&update, &state] {
        edit(&mut device, "editTags", again).await;
        assert!(device.page(None).await.changed.is_empty());
    }
    app.stop().await;
}

async fn the_contract_tells_which_columns_merge(kind: Kind) {
    let app = App::start(kind).await;
    let contract = app.get("/nizhal/contract").await;
    let columns = contract["x-nizhal"]["tables"]["notes"]["columns"].clone();
    let merged = |name: &str, kind: &str, nullable: bool| json!({"name": name, "type": "bytea", "nullable": nullable, "merge": "crdt", "crdt": kind});
    assert_eq!(columns[2], merged("body", "text", false));
    assert_eq!(columns[3], merged("tags", "map", true));
    assert_eq!((&columns[1]["merge"], &columns[4]["crdtRoot"]), (&Value::Null, &json!("echo:text")));
    let schemas = &contract["components"]["schemas"];
    assert_eq!(schemas["notes"]["properties"]["body"]["contentEncoding"], "base64");
    let update = &schemas["Edit"]["properties"]["update"];
    assert_eq!((&update["contentEncoding"], &update["maxLength"]), (&json!("base64"), &json!(1_398_104)), "{update}");
    app.stop().await;
}

async fn documents_of_another_root_are_taken_over(kind: Kind) {
    let (app, mut yjs) = (App::start(kind).await, Yjs::start());
    let mut device = app.device("ann");
    add(&mut device, "").await;
    // As the TypeScript system stored it.
    let document = yjs.document(7);
    let old = yjs.edit(&document, &json!([["echo", "was here"]]));
    let bytes = STANDARD.decode(&old).expect("base64");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let literal = if kind == Kind::Sqlite { format!("x'{hex}'") } else { format!("'\\x{hex}'") };
    app.server.database().execute_unprepared(&format!("update notes set echo = {literal}")).await.expect("written");
    assert_eq!(pulled(&mut device, "echo").await, old);
    let more = yjs.edit(&document, &json!([["echo", "still "]]));
    edit(&mut device, "editEcho", &more).await;
    let note = Note::find_by_id(ID).one(app.server.database()).await.expect("a row").expect("it is there");
    assert_eq!(note.echo(), "still was here");
    // The usual name is another type in this column, and the other way round.
    let other = yjs.document(None);
    let usual = yjs.edit(&other, &json!([["insert", 0, "x"]]));
    let reply = device.mutate("editEcho", &json!({"id": ID, "update": usual})).await.refused(422, "invalid_args");
    assert!(reply.text.contains(r#"the column keeps `doc.getText(\"echo:text\")` alone"#), "{}", reply.text);
    device.mutate("editBody", &json!({"id": ID, "update": old})).await.refused(422, "invalid_args");
    app.stop().await;
}

/// A document that no merge and no device would find is refused where it is written, not at the next merge.
async fn a_document_under_another_root_is_not_written(kind: Kind) {
    let app = App::start(kind).await;
    let mut device = app.device("ann");
    add(&mut device, "").await;
    let wrong = device.mutate("rewriteEcho", &json!({"id": ID, "text": "wrong"})).await;
    assert_eq!(wrong.status, 500, "{}", wrong.text);
    let note = Note::find_by_id(ID).one(app.server.database()).await.expect("a row").expect("it is there");
    assert_eq!(note.echo(), "", "nothing was written");
    let mut other = app.device("ben");
    other.mutate("rewriteEcho", &json!({"id": ID, "text": "right"})).await.expect(200);
    let note = Note::find_by_id(ID).one(app.server.database()).await.expect("a row").expect("it is there");
    assert_eq!(note.echo(), "right");
    app.stop().await;
}
