//! A server behind TLS whose certificate is signed by an authority that only its owner knows.

use crate::fixture::{add, bearer, names, reached, setup, shop};
use nizhal::client::{Client, transport::HttpTransport};
use nizhal_tests::{App, TlsFront, on, until};

on![sqlite, Sqlite: an_authority_of_ones_own_is_trusted_when_it_is_named];

async fn behind(front: &TlsFront, user: &str) -> Client {
    let pem = std::fs::read(front.authority()).unwrap();
    let transport = HttpTransport::with_authority(front.url(), &pem).unwrap();
    Box::pin(setup(user).transport(transport, bearer(user)).open()).await.unwrap()
}

async fn an_authority_of_ones_own_is_trusted_when_it_is_named(app: App) {
    shop(&app).await;
    let front = TlsFront::start(&app.address).await;
    let stranger = Box::pin(setup("ana").server(front.url(), bearer("ana")).open()).await.unwrap();
    add(&stranger, "c1").await;
    let status = reached(&stranger, "the stranger to fail", |status| status.error.is_some()).await;
    let error = status.error.unwrap();
    assert_eq!(error.code, "network");
    assert!(error.message.contains("UnknownIssuer"), "it says why: {error:?}");
    assert_eq!(stranger.status().borrow().pending, 1, "what it wrote waits");
    let (ana, ben) = (behind(&front, "ana").await, behind(&front, "ben").await);
    reached(&ben, "the stream", |status| status.realtime).await;
    add(&ana, "c2").await;
    until("ben hears of it", async || names(&ben).await == ["Name of c2"]).await;
}
