//! The root of a document is judged by whatever statement it was written, and a document that another program wrote is its row's
//! trouble alone.

use super::app::{App, Note, Sheet};
use nizhal::Table as _;
use nizhal::prelude::CrdtText;
use nizhal::prelude::sea_orm::ConnectionTrait as _;
use nizhal_tests::{Device, Kind};
use serde_json::{Value, json};

both![
    a_document_of_another_root_is_refused_by_whatever_statement,
    a_batch_keeps_what_came_before_a_document_of_another_root,
    what_is_no_document_is_refused_by_whatever_statement,
    a_document_that_another_program_wrote_stops_no_other_column,
    documents_are_found_by_keys_and_buckets_of_any_type,
];

const RIGHT: &str = "echo:text";

/// A document under this root, as SQL.
fn literal(kind: Kind, root: &str) -> String {
    bytes(kind, CrdtText::from_text_in(root, "echo").as_bytes())
}

fn bytes(kind: Kind, bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    if kind == Kind::Sqlite { format!("x'{hex}'") } else { format!("'\\x{hex}'") }
}

fn execute(sql: &str) -> Value {
    json!({"sql": [sql]})
}

/// The ids of the notes that have an echo.
async fn echoes(app: &App) -> Vec<String> {
    let notes = Note::find().all(app.server.database()).await.expect("all are read");
    let mut ids: Vec<String> =
        notes.iter().filter(|note| !note.echo().is_empty()).map(|note| note.id().to_owned()).collect();
    ids.sort();
    ids
}

async fn a_document_of_another_root_is_refused_by_whatever_statement(kind: Kind) {
    let app = App::start(kind).await;
    let device = |name: &str| -> Device { app.device(name) };
    // A device that was answered 500 would send the same again first, so each has its own.
    let many = |root: &str| json!({"ids": ["n1", "n2"], "root": root});
    assert_eq!(device("a").mutate("addMany", &many("text")).await.status, 500);
    assert_eq!(echoes(&app).await, [""; 0]);
    device("b").mutate("addMany", &many(RIGHT)).await.expect(200);
    assert_eq!(echoes(&app).await, ["n1", "n2"]);
    let (right, wrong) = (literal(kind, RIGHT), literal(kind, "text"));
    let update = |echo: &str| execute(&format!("update notes set echo = {echo} where id = 'n2'"));
    let insert = |id: &str, body: &str, echo: &str| {
        execute(&format!("insert into notes (id, owner, body, echo) values ('{id}', 'o1', {body}, {echo})"))
    };
    for (at, wrong) in [update(&wrong), insert("n3", &wrong, &wrong), insert("n3", &right, &right)].iter().enumerate() {
        let reply = device(&format!("c{at}")).mutate("execute", wrong).await;
        assert_eq!(reply.status, 500, "{wrong}: {}", reply.text);
    }
    // The first was rolled back, and the second never was.
    assert_eq!(echoes(&app).await, ["n1", "n2"]);
    device("d").mutate("execute", &update(&right)).await.expect(200);
    device("e").mutate("execute", &insert("n3", &wrong, &right)).await.expect(200);
    assert_eq!(echoes(&app).await, ["n1", "n2", "n3"]);
    // What is deleted in the same transaction is no trouble to anybody.
    let gone = json!({"sql": [format!("update notes set echo = {wrong} where id = 'n3'"), "delete from notes where id = 'n3'"]});
    device("f").mutate("execute", &gone).await.expect(200);
    assert_eq!(echoes(&app).await, ["n1", "n2"]);
    app.stop().await;
}

async fn a_batch_keeps_what_came_before_a_document_of_another_root(kind: Kind) {
    let app = App::start(kind).await;
    let mut device = app.device("a").wire_two();
    let mutations: Vec<Value> = [("n1", RIGHT), ("n2", "text"), ("n3", RIGHT)]
        .iter()
        .map(|(id, root)| device.mutation("addMany", &json!({"ids": [id], "root": root})))
        .collect();
    let reply = device.push(&mutations).await;
    assert_eq!(echoes(&app).await, ["n1"], "{}", reply.text);
    app.stop().await;
}

async fn what_is_no_document_is_refused_by_whatever_statement(kind: Kind) {
    let app = App::start(kind).await;
    app.device("a").mutate("addMany", &json!({"ids": ["n1"], "root": RIGHT})).await.expect(200);
    let nonsense = bytes(kind, b"nonsense");
    let reply = app.device("b").mutate("execute", &execute(&format!("update notes set body = {nonsense}"))).await;
    assert_eq!(reply.status, 500, "{}", reply.text);
    assert_eq!(echoes(&app).await, ["n1"], "every note is read");
    app.stop().await;
}

async fn a_document_that_another_program_wrote_stops_no_other_column(kind: Kind) {
    let app = App::start(kind).await;
    let mut device = app.device("a");
    device.mutate("addMany", &json!({"ids": ["n1", "n2"], "root": RIGHT})).await.expect(200);
    let (wrong, other) = (literal(kind, "text"), literal(kind, "other"));
    let sql = format!("update notes set echo = {wrong} where id = 'n1'");
    app.server.database().execute_unprepared(&sql).await.expect("written");
    // Rows come as they are, also this one, and its other columns are written, by a merge and by SQL.
    device.pull().await;
    assert_eq!(device.ids("notes"), ["n1", "n2"]);
    let document = CrdtText::from_text("more");
    let update = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, document.as_bytes());
    device.mutate("editBody", &json!({"id": "n1", "update": update})).await.expect(200);
    let same = format!("update notes set tags = null, echo = {wrong}");
    let reply = app.device("b").mutate("execute", &execute(&same)).await;
    assert_eq!(reply.status, 500, "it puts it into the other note too: {}", reply.text);
    device.mutate("execute", &execute("update notes set tags = null")).await.expect(200);
    // To write another wrong one in its place is refused; to mend it is not.
    let set = |echo: &str| execute(&format!("update notes set echo = {echo} where id = 'n1'"));
    assert_eq!(app.device("c").mutate("execute", &set(&other)).await.status, 500);
    device.mutate("execute", &set(&literal(kind, RIGHT))).await.expect(200);
    let note = Note::find_by_id("n1").one(app.server.database()).await.expect("a row").expect("it is there");
    assert_eq!((note.text().as_str(), note.echo().as_str()), ("more", "echo"));
    app.stop().await;
}

async fn documents_are_found_by_keys_and_buckets_of_any_type(kind: Kind) {
    let app = App::start(kind).await;
    let id = "0190b5f0-0000-7000-8000-0000000000aa";
    let uuid = if kind == Kind::Sqlite { format!("x'{}'", id.replace('-', "")) } else { format!("'{id}'") };
    let write = async |sql: String| app.server.database().execute_unprepared(&sql).await.expect("written");
    for user in ["a", "b", "c"] {
        write(format!("insert into seats (user_id, room, shelf) values ('{user}', {uuid}, 7)")).await;
    }
    let (right, wrong) = (literal(kind, "text"), literal(kind, RIGHT));
    let insert = |day: &str, text: &str| {
        let columns = "insert into sheets (day, id, room, shelf, text) values";
        execute(&format!("{columns} ('{day}', {uuid}, {uuid}, 7, {text})"))
    };
    let mut device = app.device("a");
    device.mutate("execute", &insert("2026-01-01", &right)).await.expect(200);
    let reply = app.device("b").mutate("execute", &insert("2026-01-02", &wrong)).await;
    assert_eq!(reply.status, 500, "{}", reply.text);
    assert_eq!(Sheet::find().all(app.server.database()).await.expect("all are read").len(), 1);
    // Another program's: found by its key, and left alone.
    write(format!("update sheets set text = {wrong}")).await;
    device.mutate("execute", &execute("update sheets set title = 'still'")).await.expect(200);
    let other = execute(&format!("update sheets set text = {}", literal(kind, "other")));
    assert_eq!(app.device("c").mutate("execute", &other).await.status, 500);
    app.stop().await;
}
