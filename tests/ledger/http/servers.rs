//! Several servers on one database: what happens on one is heard on the others, over Postgres and over NATS.

mod nats;
mod postgres;

use crate::fixture::{add, customers, leave, two_shops};
use nizhal_tests::{Address, App, Connection, Device, Frame, Server, Socket, token, until};
use serde_json::{Value, json};

/// Another server on the app's database.
struct Other {
    server: Server,
    address: Address,
}

impl Other {
    fn start(app: &App) -> Self {
        let address = Address::default();
        Self { server: Server::start(&app.set_up, &address), address }
    }

    async fn open(&self, user: &str) -> Socket {
        let token = token::signed(&token::claims(user, Some("s1")));
        Socket::open(&self.address.at("/sync/stream"), "", Some(&token)).await.expect("the user may listen")
    }

    fn device(&self, name: &str, user: &str) -> Device {
        Device::new(&self.address, name, &token::signed(&token::claims(user, Some("s1"))))
    }
}

/// Restarts the app's server with these variables, and short silences.
pub(crate) fn restarted(app: &mut App, env: &[(&str, &str)]) {
    let mut set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    for (name, value) in env {
        set_up = set_up.env(name, value);
    }
    app.set_up = set_up;
    app.restart();
}

/// What the server says about how it hears others.
pub(crate) async fn realtime(app: &App) -> Value {
    app.get("/nizhal/stats", token::ADMIN).await.expect(200).json()["realtime"].clone()
}

/// Waits until the app's server hears, and knows so many others.
async fn hears(app: &App, others: u64) {
    until("the servers know each other", async || {
        let realtime = realtime(app).await;
        let is_up = |adapter: &Value| adapter["hearing"]["state"] == "up";
        realtime["otherServers"] == others && realtime["adapters"].as_array().is_some_and(|all| all.iter().all(is_up))
    })
    .await;
}

/// Two servers that know each other, and two shops.
async fn two_servers(app: &App) -> (Other, Connection) {
    let db = two_shops(app).await;
    let other = Other::start(app);
    hears(app, 1).await;
    (other, db)
}

async fn open(app: &App, user: &str) -> Socket {
    app.stream("", Some(&app.device("d", user, "s1").token)).await.expect("the user may listen")
}

/// A write on one server pings the sockets of both; so does one by psql, and neither pings twice.
pub(crate) async fn writes_ping_on_every_server(app: App) {
    let (other, mut db) = two_servers(&app).await;
    let mut sockets = [open(&app, "ana").await, other.open("ben").await];
    for socket in &mut sockets {
        socket.ready().await;
    }
    let (mut here, mut there) = (app.device("here", "ana", "s1"), other.device("there", "ben"));
    for round in 0..3 {
        add(&mut here, &format!("here{round}")).await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
        add(&mut there, &format!("there{round}")).await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
        customers(&mut db, "s2", &format!("foreign{round}-"), 1).await;
        customers(&mut db, "s1", &format!("psql{round}-"), 1).await;
        for socket in &mut sockets {
            assert_eq!(socket.next().await, Frame::text("repull:s1"));
        }
    }
    for socket in &mut sockets {
        socket.ready().await;
    }
}

/// Entries of one user on two servers, a payload that no NOTIFY has room for, and nothing for those who do not hold the bucket.
pub(crate) async fn presence_is_one_for_all_servers(app: App) {
    let (other, mut db) = two_servers(&app).await;
    let (mut here, mut there) = (open(&app, "ana").await, other.open("ana").await);
    let mut foreign = other.open("cem").await;
    for (socket, bucket) in [(&mut here, "s1"), (&mut there, "s1"), (&mut foreign, "s2")] {
        assert_eq!(socket.presence().await, ("state".to_owned(), json!({"bucket": bucket, "state": {}})));
    }
    let long = "ü".repeat(15_000);
    here.send(&format!("presence:track:{}", json!({"bucket": "s1", "payload": {"on": "phone", "long": long}}))).await;
    for socket in [&mut here, &mut there] {
        let (_, said) = socket.presence().await;
        assert_eq!((&said["bucket"], &said["joins"]["ana"][0]["on"]), (&json!("s1"), &json!("phone")));
        assert_eq!(said["joins"]["ana"][0]["long"], long);
    }
    there.send(&format!("presence:track:{}", json!({"bucket": "s1", "payload": {"on": "tablet"}}))).await;
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.presence().await.1["joins"]["ana"][0]["on"], "tablet");
    }
    // Who comes later gets both, on either server; also on one that starts only now.
    let third = Other::start(&app);
    hears(&app, 2).await;
    let all = |state: &Value| {
        let mut on: Vec<&str> =
            state["ana"].as_array().into_iter().flatten().filter_map(|e| e["on"].as_str()).collect();
        on.sort_unstable();
        on == ["phone", "tablet"]
    };
    let mut bens = [open(&app, "ben").await, other.open("ben").await];
    for ben in &mut bens {
        let (_, said) = ben.presence().await;
        assert!(all(&said["state"]), "{said}");
    }
    until("the third server knows both", async || all(&third.open("ben").await.presence().await.1["state"])).await;
    // Who loses the bucket leaves it, on whichever server; and those who never held it have heard nothing of all this.
    leave(&mut db, "s1", "ana").await;
    for ben in &mut bens {
        let mut left = Vec::new();
        while left.len() < 2 {
            let (_, said) = ben.presence().await;
            left.extend(said["leaves"]["ana"].as_array().expect("ana leaves").iter().map(|entry| entry["on"].clone()));
        }
    }
    foreign.send("ping").await;
    assert_eq!(foreign.any().await, Frame::text("pong"));
}

/// A server that is killed leaves nobody behind; one that stops says goodbye.
pub(crate) async fn a_killed_server_leaves_nobody_behind(app: App) {
    let (mut other, _db) = two_servers(&app).await;
    let mut watcher = open(&app, "ben").await;
    watcher.presence().await;
    let mut ana = other.open("ana").await;
    ana.presence().await;
    ana.send(r#"presence:track:{"bucket":"s1"}"#).await;
    let (_, came) = watcher.presence().await;
    other.server.kill();
    let (_, went) = watcher.presence().await;
    assert_eq!(went, json!({"bucket": "s1", "joins": {}, "leaves": came["joins"]}));
    hears(&app, 0).await;
    let mut next = Other::start(&app);
    let mut ana = next.open("ana").await;
    ana.send(r#"presence:track:{"bucket":"s1"}"#).await;
    let (_, came) = watcher.presence().await;
    next.server.terminate();
    assert!(next.server.ended().await.success());
    assert_eq!(watcher.presence().await.1["leaves"], came["joins"]);
}

/// A server that lives and has nothing to say is not taken for a dead one.
async fn a_quiet_server_is_not_forgotten(app: App) {
    let (other, _db) = two_servers(&app).await;
    let mut watcher = open(&app, "ben").await;
    watcher.presence().await;
    let mut ana = other.open("ana").await;
    ana.presence().await;
    ana.send(r#"presence:track:{"bucket":"s1"}"#).await;
    watcher.presence().await;
    let received = async || {
        realtime(&app).await["adapters"]
            .as_array()
            .expect("adapters")
            .iter()
            .fold(0, |sum, one| sum + one["received"].as_u64().expect("a count"))
    };
    // One sign of life in each quarter of the silence that is allowed.
    let before = received().await;
    until("it showed that it lives", async || received().await >= before + 6).await;
    watcher.send("ping").await;
    assert_eq!(watcher.any().await, Frame::text("pong"), "nobody left");
    hears(&app, 1).await;
}

/// A server that stops tells the others of its last commits before it goes.
pub(crate) async fn a_stopping_server_tells_what_it_committed_last(app: App) {
    two_shops(&app).await;
    let mut socket = open(&app, "ana").await;
    socket.ready().await;
    for round in 0..3 {
        let mut other = Other::start(&app);
        add(&mut other.device(&format!("w{round}"), "ben"), &format!("last{round}")).await;
        other.server.terminate();
        assert!(other.server.ended().await.success());
        assert_eq!(socket.next().await, Frame::text("repull:s1"));
    }
}
