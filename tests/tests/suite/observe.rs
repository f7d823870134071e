//! Observers, told by a server in a user's app; and one that panics at everything it hears.

use actix_web::{App, HttpServer};
use nizhal::prelude::*;
use nizhal::{ConflictEvent, ErrorEvent, Observer, PullEvent, PushEvent};
use nizhal_tests::{Database, Kind, token};
use serde_json::json;
use std::sync::{Arc, Mutex};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "todos", merge = "field")]
struct Todo {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    text: Option<String>,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Todo where Todo.owner == owner;
    }
}

#[nizhal::args]
struct AddTodo {
    client_id: String,
}

#[mutator]
async fn add_todo(ctx: &mut Ctx<Claims>, args: AddTodo) -> Result<Applied> {
    if args.client_id == "no" {
        return Err(reject!("no"));
    }
    let owner = ctx.actor().user_id.clone();
    TodoActive { id: Set(args.client_id), owner: Set(owner), text: Set(None) }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

#[nizhal::args]
struct Write {
    text: String,
}

/// Writes every todo, as a bulk statement does.
#[mutator]
async fn write_all(ctx: &mut Ctx<Claims>, args: Write) -> Result<Applied> {
    Todo::update_many().col_expr(TodoColumn::Text, args.text.into()).exec(ctx.db()).await?;
    Ok(Applied::done())
}

/// Writes down what it hears, but for how long it took.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn note(&self, line: String) {
        self.0.lock().expect("nobody panics here").push(line);
    }
}

impl Observer for Heard {
    fn on_pull(&self, event: &PullEvent<'_>) {
        assert!(event.bytes > 0);
        let PullEvent { actor, device, rows, reset, streamed, .. } = event;
        self.note(format!("pull {actor} {device:?} rows {rows} reset {reset} streamed {streamed}"));
    }

    fn on_push(&self, event: &PushEvent<'_>) {
        assert!(event.bytes > 0);
        let told = event.mutations.iter().map(|told| {
            let (mutator, id, device, status, code) =
                (told.mutator, told.client_mutation_id, told.device, told.status, told.code);
            format!("{mutator} {id} {device:?} {status} {code:?}")
        });
        self.note(format!("push {} {:?}", event.actor, told.collect::<Vec<_>>()));
    }

    fn on_conflict(&self, event: &ConflictEvent<'_>) {
        let ConflictEvent { table, row, column, kept, lost, .. } = event;
        self.note(format!("conflict {table} {row} {column} {} {}", &kept[..4], &lost[..4]));
    }

    fn on_error(&self, event: &ErrorEvent<'_>) {
        let ErrorEvent { url, actor, status, code, .. } = event;
        self.note(format!("error {url} {actor:?} {status} {code}"));
    }
}

struct Clumsy;

impl Observer for Clumsy {
    fn on_pull(&self, _: &PullEvent<'_>) {
        panic!("clumsy");
    }
    fn on_push(&self, _: &PushEvent<'_>) {
        panic!("clumsy");
    }
    fn on_conflict(&self, _: &ConflictEvent<'_>) {
        panic!("clumsy");
    }
    fn on_error(&self, _: &ErrorEvent<'_>) {
        panic!("clumsy");
    }
}

async fn observers_hear_and_harm_nothing(kind: Kind) {
    let database = Database::new(kind).await;
    let heard = Heard::default();
    let server = Nizhal::app("todos")
        .tables(tables![Todo])
        .mutators(mutators![add_todo, write_all])
        .rules(rules())
        .database_url(database.url())
        .auth_secret(token::SECRET)
        .observer(Clumsy)
        .observer(heard.clone())
        .server()
        .await
        .expect("it starts");
    let routes = server.routes();
    let http = HttpServer::new(move || App::new().configure(routes.clone()));
    let http = http.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}", http.addrs()[0]);
    let running = http.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    let client = nizhal_tests::http();
    let token = token::signed(&json!({"userId": "ann", "ownerId": "o", "exp": token::expiry(600)}));
    let post = async |path: &str, token: &str, wire: &str, accept: &str, body: serde_json::Value| {
        let request = client.post(format!("{url}{path}")).bearer_auth(token).header("accept", accept);
        let reply = request.header("x-nizhal-wire", wire).body(body.to_string()).send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    let mutation = |id: &str, client: &str, number: i64| json!({"hlc": "2020-01-01T00:00:00.000Z-0000-000000000000000000000000000000aa", "name": "addTodo", "args": {"clientId": client}, "clientMutationId": id, "clientID": "d1", "mutationID": number});
    let batch = json!({"mutations": [mutation("m1", "t1", 1), mutation("m2", "no", 2), mutation("m1", "t1", 1)]});
    assert_eq!(post("/sync/push", &token, "2", "*/*", batch).await.0, 200);
    assert_eq!(post("/sync/push", &token, "1", "*/*", json!({"mutations": [mutation("m4", "no", 9)]})).await.0, 409);
    let pull = || json!({"deviceId": "d1"});
    assert_eq!(post("/sync/pull", &token, "1", "*/*", pull()).await.0, 200);
    let (status, lines) = post("/sync/pull", &token, "2", "application/x-ndjson", pull()).await;
    assert_eq!((status, lines.lines().count()), (200, 2));
    assert_eq!(post("/sync/pull", &token, "1", "*/*", json!({"cursor": "of another life"})).await.0, 200);
    for (id, number, year) in [("m5", 3, 2026), ("m6", 4, 2021)] {
        let hlc = format!("{year}-01-01T00:00:00.000Z-0000-000000000000000000000000000000aa");
        let write = json!({"name": "writeAll", "args": {"text": id}, "clientMutationId": id, "clientID": "d1",
            "mutationID": number, "hlc": hlc});
        assert_eq!(post("/sync/push", &token, "1", "*/*", json!({"mutations": [write]})).await.0, 200);
    }
    assert_eq!(post("/sync/pull", "forged", "1", "*/*", pull()).await.0, 401);
    let ann = r#"["o","ann"]"#;
    let wanted = [
        format!(
            r#"push {ann} {:?}"#,
            [
                r#"addTodo m1 Some("d1") applied None"#,
                r#"addTodo m2 Some("d1") rejected Some("rejected")"#,
                r#"addTodo m1 Some("d1") duplicate None"#,
            ]
        ),
        format!(r#"push {ann} {:?}"#, [r#"addTodo m4 Some("d1") outOfOrder Some("out_of_order")"#]),
        format!(r#"error /sync/push Some({ann:?}) 409 out_of_order"#),
        format!(r#"pull {ann} Some("d1") rows 1 reset false streamed false"#),
        format!(r#"pull {ann} Some("d1") rows 1 reset false streamed true"#),
        format!(r#"pull {ann} None rows 1 reset true streamed false"#),
        format!(r#"push {ann} {:?}"#, [r#"writeAll m5 Some("d1") applied None"#]),
        "conflict todos t1 text 2026 2021".to_owned(),
        format!(r#"push {ann} {:?}"#, [r#"writeAll m6 Some("d1") applied None"#]),
        "error /sync/pull None 401 unauthorized".to_owned(),
    ];
    assert_eq!(*heard.0.lock().expect("nobody panicked there"), wanted);

    handle.stop(true).await;
    server.shutdown().await;
}

#[actix_web::test]
async fn postgres() {
    observers_hear_and_harm_nothing(Kind::Postgres).await;
}

#[actix_web::test]
async fn sqlite() {
    observers_hear_and_harm_nothing(Kind::Sqlite).await;
}
