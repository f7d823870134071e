//! NATS between servers: the same promises, credentials, TLS, and a NATS server that goes away.

use super::{hears, open, realtime, restarted, two_servers};
use crate::fixture::{add, customers, two_shops};
use nizhal_tests::{App, Frame, Peer, on, until};
use serde_json::json;
use std::path::Path;
use std::process::Command;

on![postgres, Postgres:
    writes_ping_on_every_server,
    presence_is_one_for_all_servers,
    a_killed_server_leaves_nobody_behind,
    inv33_a_stopping_server_tells_what_it_committed_last,
    a_nats_server_that_is_away_stops_no_push,
    credentials_and_tls_let_in,
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

/// A CA and a certificate of it for 127.0.0.1.
fn certify(dir: &Path) {
    let run = |args: &[&str]| {
        let made = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
    run(&[&["req", "-x509"], &curve[..], &ca[..]].concat());
    run(&[&["req", "-new"], &curve[..], &["-subj", "/CN=nats", "-keyout", "key.pem", "-out", "nats.csr"]].concat());
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("the directory is ours");
    let sign = ["x509", "-req", "-in", "nats.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    run(&[&sign[..], &["-out", "cert.pem", "-days", "2", "-extfile", "names"]].concat());
    for file in ["key.pem", "cert.pem", "ca.pem"] {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(dir.join(file), open).expect("the file is ours");
    }
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
