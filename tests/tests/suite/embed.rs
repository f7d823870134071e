//! Nizhal's routes beside a user's own, in the user's actix-web app.

use actix_web::{App, HttpResponse, HttpServer, web};
use nizhal::prelude::*;
use nizhal_tests::{Database, Kind, token};
use serde_json::{Value, json};

#[nizhal::claims]
struct Claims {
    user_id: String,
    owner_id: String,
}

#[nizhal::table(name = "todos")]
struct Todo {
    #[nizhal(primary_key)]
    id: String,
    owner: String,
    #[nizhal(default = false)]
    done: bool,
}

sync_rules! {
    rules for Claims;

    rule mine(owner) {
        owner = actor.user_id;
        Todo where Todo.owner == owner && Todo.done == false;
    }
}

#[nizhal::args]
struct AddTodo {
    client_id: String,
}

#[mutator]
async fn add_todo(ctx: &mut Ctx<Claims>, args: AddTodo) -> Result<Applied> {
    let owner = ctx.actor().user_id.clone();
    TodoActive { id: Set(args.client_id), owner: Set(owner), ..Default::default() }.insert(ctx.db()).await?;
    Ok(Applied::done())
}

/// A route of the user's own, on the database that Nizhal opened.
async fn count(server: web::Data<nizhal::Server>) -> HttpResponse {
    match Todo::find().count(server.database()).await {
        Ok(count) => HttpResponse::Ok().body(count.to_string()),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}

async fn routes_stand_beside_the_users_own(kind: Kind) {
    let database = Database::new(kind).await;
    let server = Nizhal::app("todos")
        .tables(tables![Todo])
        .mutators(mutators![add_todo])
        .rules(rules())
        .database_url(database.url())
        .auth_secret(token::SECRET)
        .server()
        .await
        .expect("it starts");
    let routes = server.routes();
    let own = web::Data::new(server.clone());
    let http = HttpServer::new(move || {
        App::new().app_data(own.clone()).route("/todos/count", web::get().to(count)).configure(routes.clone())
    });
    let http = http.workers(1).disable_signals().bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}", http.addrs()[0]);
    let running = http.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);

    let client = nizhal_tests::http();
    let claims = json!({"userId": "ann", "ownerId": "o", "exp": token::expiry(600)});
    let token = token::signed(&claims);
    let mutation = json!({"name": "addTodo", "args": {"clientId": "t1"}, "clientMutationId": "m1"});
    let pushed = client.post(format!("{url}/sync/push")).bearer_auth(&token).json(&json!({"mutations": [mutation]}));
    assert_eq!(pushed.send().await.expect("an answer").status(), 200);
    let own = client.get(format!("{url}/todos/count")).send().await.expect("an answer");
    assert_eq!(own.text().await.expect("a body"), "1");
    let pulled =
        client.post(format!("{url}/sync/pull")).bearer_auth(&token).body("{}").send().await.expect("an answer");
    let page: Value = pulled.json().await.expect("JSON");
    assert_eq!(page["changed"][0]["rows"][0]["id"], "t1");
    let nowhere = client.get(format!("{url}/nothing/here")).send().await.expect("an answer");
    assert_eq!(nowhere.status(), 404, "the user's own paths stay the user's");

    handle.stop(true).await;
    server.shutdown().await;
}

#[actix_web::test]
async fn postgres() {
    routes_stand_beside_the_users_own(Kind::Postgres).await;
}

#[actix_web::test]
async fn sqlite() {
    routes_stand_beside_the_users_own(Kind::Sqlite).await;
}
