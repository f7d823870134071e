//! NATS between servers: the same promises, credentials, TLS, and a NATS server that goes away.

use super::{Other, hears, open, realtime, restarted, two_servers};
use crate::fixture::{add, customers, two_shops};
use base64::Engine as _;
use nizhal_tests::{App, Frame, Peer, certify, on, until};
use nkeys::KeyPair;
use serde_json::{Value, json};

on![postgres, Postgres:
    writes_ping_on_every_server,
    presence_is_one_for_all_servers,
    a_killed_server_leaves_nobody_behind,
    inv33_a_stopping_server_tells_what_it_committed_last,
    a_nats_server_that_is_away_stops_no_push,
    credentials_and_tls_let_in,
    tokens_and_passwords_let_in,
    creds_files_let_in,
    two_databases_on_one_nats_share_nothing,
];
on![sqlite, Sqlite: a_nats_server_that_is_away_stops_no_push];

fn with<'a>(url: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [("NIZHAL_REALTIME", "nats"), ("NIZHAL_NATS_URL", url)].into_iter().chain(more.iter().copied()).collect()
}

fn url(nats: &Peer) -> String {
    format!("nats://127.0.0.1:{}", nats.port())
}

async fn writes_ping_on_every_server(mut app: App) {
    let nats = Peer::nats("");
    restarted(&mut app, &with(&url(&nats), &[]));
    super::writes_ping_on_every_server(app).await;
}

async fn presence_is_one_for_all_servers(mut app: App) {
    let nats = Peer::nats("max_payload: 4KB");
    restarted(&mut app, &with(&url(&nats), &[]));
    super::presence_is_one_for_all_servers(app).await;
}

async fn a_killed_server_leaves_nobody_behind(mut app: App) {
    let nats = Peer::nats("");
    restarted(&mut app, &with(&url(&nats), &[("NIZHAL_SERVER_SILENCE", "1s")]));
    super::a_killed_server_leaves_nobody_behind(app).await;
}

async fn inv33_a_stopping_server_tells_what_it_committed_last(mut app: App) {
    let nats = Peer::nats("");
    restarted(&mut app, &with(&url(&nats), &[]));
    hears(&app, 0).await;
    super::a_stopping_server_tells_what_it_committed_last(app).await;
}

async fn a_nats_server_that_is_away_stops_no_push(mut app: App) {
    let mut nats = Peer::nats("");
    restarted(&mut app, &with(&url(&nats), &[]));
    let mut db = two_shops(&app).await;
    hears(&app, 0).await;
    let mut ben = app.device("w", "ben", "s1");
    let mut socket = open(&app, "ana").await;
    socket.ready().await;
    nats.kill();
    let state = async || {
        let told = realtime(&app).await;
        told["adapters"][1]["hearing"]["state"].as_str().map(str::to_owned)
    };
    until("stats tell of it", async || state().await.as_deref() == Some("down")).await;
    add(&mut ben, "c1").await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"), "sockets of the same server hear all the same");
    customers(&mut db, "s1", "psql", 1).await;
    assert_eq!(socket.next().await, Frame::text("repull:s1"), "and of psql");
    nats.start_again();
    assert_eq!(socket.next().await, Frame::text("repull:s1"), "healed with a ping for all");
    until("stats tell of it", async || state().await.as_deref() == Some("up")).await;
    let told = realtime(&app).await;
    assert_eq!(told["adapters"][1]["healed"], 1, "{told}");
}

async fn credentials_and_tls_let_in(mut app: App) {
    let nats = Peer::nats_with(|dir| {
        certify(dir);
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\" }}\nauthorization {{ user: us, password: \"p@ss\" }}",
            cert.display(),
            key.display()
        )
    });
    let ca = nats.dir().join("ca.pem").display().to_string();
    let port = nats.port();
    let refusals = [
        (format!("tls://127.0.0.1:{port}"), Some(&ca)),
        (format!("tls://us:wrong@127.0.0.1:{port}"), Some(&ca)),
        // The system's authorities do not know ours.
        (format!("tls://us:p%40ss@127.0.0.1:{port}"), None),
    ];
    for (url, ca) in refusals {
        let more: Vec<(&str, &str)> = vec![("NIZHAL_NATS_CA", ca.map_or("", String::as_str))];
        restarted(&mut app, &with(&url, &more));
        until("it is refused", async || {
            let told = realtime(&app).await;
            told["adapters"][1]["hearing"]["state"] == "down"
        })
        .await;
        let told = realtime(&app).await.to_string();
        assert!(!told.contains("wrong") && !app.server.output().contains("p%40ss"), "{told}");
    }
    let url = format!("tls://us:p%40ss@127.0.0.1:{port}");
    restarted(&mut app, &with(&url, &[("NIZHAL_NATS_CA", &ca)]));
    super::writes_ping_on_every_server(app).await;
}

/// Whoever is not let in says why, and pushes and pulls as before.
async fn refused(app: &mut App, url: &str, more: &[(&str, &str)], wanted: &str) {
    restarted(app, &with(url, more));
    until("it is refused", async || realtime(app).await["adapters"][1]["hearing"]["state"] == "down").await;
    let told = realtime(app).await["adapters"][1]["hearing"]["lastError"].to_string();
    assert!(told.contains(wanted), "{told}");
    for secret in ["wr0ng", "t@k", "t%40k", "SU"] {
        assert!(!told.contains(secret) && !app.server.output().contains(secret), "{told}\n{}", app.server.output());
    }
    let mut ben = app.device("d", "ben", "s1");
    ben.pull().await;
    let id = format!("c{}", ben.ids("customers").len());
    add(&mut app.device(&id, "ben", "s1"), &id).await;
    ben.pull().await;
    assert!(ben.row("customers", &id).is_some());
}

/// Two servers that are let in hear each other.
async fn let_in(app: &mut App, url: &str, more: &[(&str, &str)]) {
    restarted(app, &with(url, more));
    let other = Other::start(app);
    hears(app, 1).await;
    let mut ana = open(app, "ana").await;
    ana.ready().await;
    let mut ben = other.device("w", "ben");
    ben.pull().await;
    let id = format!("heard{}", ben.ids("customers").len());
    add(&mut other.device(&id, "ben"), &id).await;
    assert_eq!(ana.next().await, Frame::text("repull:s1"));
}

async fn tokens_and_passwords_let_in(mut app: App) {
    two_shops(&app).await;
    for (lines, own) in [("token: \"t@k\"", "t%40k@"), ("user: us, password: \"t@k\"", "us:t%40k@")] {
        let nats = Peer::nats(&format!("authorization {{ {lines} }}"));
        for strangers in ["", "wr0ng@", "us:wr0ng@"] {
            let url = format!("nats://{strangers}127.0.0.1:{}", nats.port());
            refused(&mut app, &url, &[], "does not let us in").await;
        }
        let_in(&mut app, &format!("nats://{own}127.0.0.1:{}", nats.port()), &[]).await;
    }
}

/// A token of the kind that NATS accounts and users have, signed by whoever vouches for them.
fn jwt(issuer: &KeyPair, subject: &KeyPair, claims: &Value) -> String {
    let part = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(&json!({"typ": "JWT", "alg": "ed25519-nkey"}));
    let (issuer_key, key) = (issuer.public_key(), subject.public_key());
    let body = json!({"jti": key, "iat": 1_700_000_000, "iss": issuer_key, "sub": key, "name": "test", "nats": claims});
    let signed = format!("{head}.{}", part(&body));
    let signature = issuer.sign(signed.as_bytes()).expect("a key that signs");
    format!("{signed}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(signature))
}

/// A user of this account, as `nsc generate creds` writes it.
fn creds(account: &KeyPair) -> String {
    let user = KeyPair::new_user();
    let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
    let (jwt, seed) = (jwt(account, &user, &claims), user.seed().expect("a seed"));
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

async fn creds_files_let_in(mut app: App) {
    two_shops(&app).await;
    let (operator, account, foreign) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let nats = Peer::nats_with(|_| {
        let vouched = jwt(&operator, &operator, &json!({"type": "operator", "version": 2}));
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
            "conn": -1, "leaf": -1});
        let claims =
            json!({"type": "account", "version": 2, "limits": limits, "default_permissions": {"pub": {}, "sub": {}}});
        let (key, account) = (account.public_key(), jwt(&operator, &account, &claims));
        format!("operator: \"{vouched}\"\nresolver: MEMORY\nresolver_preload: {{ {key}: \"{account}\" }}")
    });
    let file = |name: &str, text: &str| {
        let path = nats.dir().join(name);
        std::fs::write(&path, text).expect("the directory is ours");
        path.display().to_string()
    };
    let (own, strangers, broken) =
        (file("own.creds", &creds(&account)), file("foreign.creds", &creds(&foreign)), file("broken.creds", "nothing"));
    let missing = nats.dir().join("missing.creds").display().to_string();
    let url = url(&nats);
    refused(&mut app, &url, &[], "does not let us in").await;
    refused(&mut app, &url, &[("NIZHAL_NATS_CREDENTIALS", &strangers)], "NIZHAL_NATS_CREDENTIALS").await;
    for unread in [broken, missing] {
        let wanted = format!("{unread} does not read (NIZHAL_NATS_CREDENTIALS)");
        refused(&mut app, &url, &[("NIZHAL_NATS_CREDENTIALS", &unread)], &wanted).await;
    }
    let_in(&mut app, &url, &[("NIZHAL_NATS_CREDENTIALS", &own)]).await;
}

async fn two_databases_on_one_nats_share_nothing(mut app: App) {
    let nats = Peer::nats("");
    restarted(&mut app, &with(&url(&nats), &[]));
    let mut theirs = App::start(nizhal_tests::Kind::Postgres, crate::fixture::BINARY).await;
    restarted(&mut theirs, &with(&url(&nats), &[]));
    two_shops(&theirs).await;
    let (other, _db) = two_servers(&app).await;
    let mut foreign = open(&theirs, "ana").await;
    foreign.presence().await;
    let mut ana = open(&app, "ana").await;
    ana.send(r#"presence:track:{"bucket":"s1"}"#).await;
    add(&mut other.device("w", "ben"), "c1").await;
    let mut ours = other.open("ben").await;
    until("our servers tell each other", async || {
        ours = other.open("ben").await;
        ours.presence().await.1["state"] != json!({})
    })
    .await;
    foreign.send("ping").await;
    assert_eq!(foreign.any().await, Frame::text("pong"));
    hears(&theirs, 0).await;
}
