use super::*;
use crate::{
    http::Listening,
    settings::Settings,
    testing::{self, Clock, clock, token},
};
use futures_util::{SinkExt, StreamExt};
use nizhal_core::wire::{PushRequest, Wire};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, protocol::frame::coding::CloseCode as Code},
};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A real listener and the means to reach it.
struct World {
    server: Server,
    clock: Clock,
    listening: Listening,
}

impl World {
    async fn new() -> Self {
        let clock = clock();
        let server = testing::server(testing::app(&clock).port(0)).await;
        let listening = Listening::start(&server).unwrap();
        Self { server, clock, listening }
    }

    async fn open(&self, user: &str, shop: &str, query: &str) -> Result<Client, tungstenite::Error> {
        let token = token(user, shop, &self.clock);
        let url = format!("ws://{}/sync/stream?authorization=Bearer%20{token}{query}", self.listening.address());
        connect_async(url).await.map(|(client, _)| client)
    }

    async fn push(&self, shop: &str, id: &str) {
        let now = self.server.now();
        let token = token("writer", shop, &self.clock);
        let principal = self.server.authenticator().authenticate(&token, now).await.unwrap();
        let batch = json!({"mutations": [{"name": "addNote", "args": {"clientId": id}, "clientMutationId": id}]});
        let batch: PushRequest = serde_json::from_str(&batch.to_string()).unwrap();
        let reply = self.server.engine().push(&principal, Wire::One, batch).await;
        assert!(reply.fault.is_none() && reply.answers[0].verdict.failure().is_none());
    }
}

/// The next text frame, pings of the transport aside.
async fn text(client: &mut Client) -> String {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn state(client: &mut Client) -> Value {
    let text = text(client).await;
    serde_json::from_str(text.strip_prefix("presence:state:").unwrap_or_else(|| panic!("{text}"))).unwrap()
}

async fn closed(client: &mut Client) -> Code {
    loop {
        match client.next().await.unwrap().unwrap() {
            Message::Close(frame) => return frame.unwrap().code,
            Message::Text(_) | Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[actix_web::test]
async fn a_push_pings_the_sockets_of_its_bucket_alone() {
    let world = World::new().await;
    let mut ours = world.open("u1", "s1", "").await.unwrap();
    let mut theirs = world.open("s1", "s2", "&bucket=s1").await.unwrap();
    assert_eq!(state(&mut ours).await, json!({"bucket": "s1", "state": {}}));
    assert_eq!(state(&mut ours).await, json!({"bucket": "u1", "state": {}}));
    assert_eq!(state(&mut theirs).await["bucket"], "s1");
    world.push("s1", "n1").await;
    assert_eq!(text(&mut ours).await, "repull:s1");
    // A user named like the shop hears nothing of it: another rule's bucket of the same value.
    theirs.send(Message::text("ping")).await.unwrap();
    assert_eq!(text(&mut theirs).await, "pong");
    assert_eq!(world.server.hub().stats().pings_sent, 1);
}

#[actix_web::test]
async fn inv02_presence_in_a_public_bucket_reaches_no_other_tenant_unless_the_app_says_so() {
    for is_shown in [false, true] {
        let clock = clock();
        let mut app = testing::app(&clock).port(0);
        let mut rules = testing::rules();
        let table = nizhal_core::RuleTable { table: &testing::NOTES, scope: Vec::new(), filters: Vec::new() };
        let open = nizhal_core::Rules::<testing::Claims>::new().rule("open", "", |rule| rule.public());
        rules.extend(open.into_inner());
        rules[2].tables.push(table);
        app.replace_rules(rules);
        let mut settings = Settings::defaults("notes");
        settings.realtime.public_presence = is_shown;
        let app = app.settings(settings).database_url("sqlite::memory:").auth_secret(testing::SECRET).port(0);
        let server = testing::server(app).await;
        let listening = Listening::start(&server).unwrap();
        let world = World { server, clock, listening };
        let mut theirs = world.open("u2", "s2", "&wire=2&bucket=open:*").await.unwrap();
        let mut ours = world.open("u1", "s1", "&wire=2&bucket=open:*").await.unwrap();
        for client in [&mut theirs, &mut ours] {
            assert_eq!(state(client).await, json!({"bucket": "open:*", "state": {}}));
        }
        ours.send(Message::text(r#"presence:track:{"bucket":"open:*","payload":{"card":"4111"}}"#)).await.unwrap();
        ours.send(Message::text("ping")).await.unwrap();
        let frame = loop {
            match text(&mut ours).await {
                pong if pong == "pong" => break String::new(),
                diff => assert!(is_shown, "{diff}"),
            }
        };
        assert_eq!(frame, "");
        if !is_shown {
            theirs.send(Message::text("ping")).await.unwrap();
        }
        // Where it is shown, it comes by itself, before or after an answer to a ping.
        let first = text(&mut theirs).await;
        assert_eq!(first.contains("4111"), is_shown, "{first}");
        if is_shown {
            let large = format!(r#"presence:track:{{"bucket":"open:*","payload":{{"x":"{}"}}}}"#, "x".repeat(2_000));
            ours.send(Message::text(large)).await.unwrap();
            assert_eq!(closed(&mut ours).await, Code::Size);
        }
    }
}

#[actix_web::test]
async fn wire_two_names_the_rule() {
    let world = World::new().await;
    let mut ours = world.open("u1", "s1", "&wire=2").await.unwrap();
    assert_eq!(state(&mut ours).await, json!({"bucket": "mine:u1", "state": {}}));
    assert_eq!(state(&mut ours).await, json!({"bucket": "myShop:s1", "state": {}}));
    let mut shop = world.open("s1", "s1", "&wire=2&bucket=myShop:s1").await.unwrap();
    assert_eq!(state(&mut shop).await["bucket"], "myShop:s1");
    ours.send(Message::text(r#"presence:track:{"bucket":"myShop:s1"}"#)).await.unwrap();
    let frame = text(&mut shop).await;
    assert!(frame.starts_with(r#"presence:diff:{"bucket":"myShop:s1""#), "{frame}");
    world.push("s1", "n1").await;
    assert_eq!(text(&mut shop).await, "repull:myShop:s1");
    for (query, status) in [("&wire=2&bucket=s1", 403), ("&bucket=myShop:s1", 403), ("&wire=3", 400)] {
        match world.open("u1", "s1", query).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), status, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[actix_web::test]
async fn a_foreign_bucket_is_refused_before_the_upgrade() {
    let world = World::new().await;
    for query in ["&bucket=s2", "&bucket=s1&bucket=s2"] {
        match world.open("u1", "s1", query).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 403),
            other => panic!("{other:?}"),
        }
    }
}

#[actix_web::test]
async fn malformed_and_oversized_frames_close() {
    let world = World::new().await;
    let continued = || {
        tungstenite::protocol::frame::Frame::message(
            "x".repeat((64 * 1024) - 1),
            tungstenite::protocol::frame::coding::OpCode::Data(tungstenite::protocol::frame::coding::Data::Text),
            false,
        )
    };
    let more = tungstenite::protocol::frame::Frame::message(
        "yy",
        tungstenite::protocol::frame::coding::OpCode::Data(tungstenite::protocol::frame::coding::Data::Continue),
        true,
    );
    let table = [
        (vec![Message::binary(vec![1, 2])], Code::Unsupported),
        (vec![Message::text("hello")], Code::Unsupported),
        (vec![Message::text("presence:track:{")], Code::Unsupported),
        (vec![Message::text("x".repeat((64 * 1024) + 1))], Code::Size),
        (vec![Message::Frame(continued()), Message::Frame(more)], Code::Size),
    ];
    for (messages, code) in table {
        let mut client = world.open("u1", "s1", "").await.unwrap();
        for message in messages {
            client.send(message).await.unwrap();
        }
        assert_eq!(closed(&mut client).await, code);
    }
}

#[actix_web::test]
async fn an_expired_credential_closes_instead_of_pinging() {
    let world = World::new().await;
    let mut client = world.open("u1", "s1", "&bucket=s1").await.unwrap();
    state(&mut client).await;
    world.clock.advance(60);
    world.push("s1", "n1").await;
    assert_eq!(closed(&mut client).await, Code::Policy);
    assert_eq!(world.server.hub().stats().pings_sent, 0);
}

#[actix_web::test]
async fn presence_comes_and_goes_with_its_connection() {
    let world = World::new().await;
    let mut watcher = world.open("u1", "s1", "&bucket=s1").await.unwrap();
    state(&mut watcher).await;
    let mut other = world.open("u2", "s1", "&bucket=s1").await.unwrap();
    state(&mut other).await;
    let track = r#"presence:track:{"bucket":"s1","payload":{"typing":true}}"#;
    other.send(Message::text(track)).await.unwrap();
    // A bucket it does not hold is nothing to it, and no reason to close.
    other.send(Message::text(r#"presence:track:{"bucket":"s9"}"#)).await.unwrap();
    let diff = |text: &str| -> Value { serde_json::from_str(text.strip_prefix("presence:diff:").unwrap()).unwrap() };
    let joined = diff(&text(&mut watcher).await);
    assert_eq!((&joined["bucket"], &joined["leaves"]), (&json!("s1"), &json!({})));
    assert_eq!(joined["joins"]["u2"][0]["typing"], true);
    let mut late = world.open("u3", "s1", "&bucket=s1").await.unwrap();
    assert_eq!(state(&mut late).await["state"], joined["joins"]);
    other.close(None).await.unwrap();
    let left = diff(&text(&mut watcher).await);
    assert_eq!(left["leaves"], joined["joins"]);
}

#[actix_web::test]
async fn a_stopping_server_says_so_to_every_socket() {
    let world = World::new().await;
    let mut client = world.open("u1", "s1", "").await.unwrap();
    world.server.shutdown().await;
    assert_eq!(closed(&mut client).await, Code::Restart);
    assert_eq!(world.server.hub().stats().sockets, 0);
    assert!(
        matches!(world.open("u1", "s1", "").await, Err(tungstenite::Error::Http(response)) if response.status() == 503)
    );
}
