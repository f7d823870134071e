//! Credentials that end, and apps that are too old.

use crate::fixture::{add, bearer, names, settled, setup, shop};
use nizhal::client::session::Failure;
use nizhal::client::transport::{Frames, HttpTransport, Request, Response, Transport};
use nizhal::client::{Credentials, CredentialsError, Phase};
use nizhal_tests::{App, both, token};
use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

both![an_expired_token_is_renewed_once, inv27_an_app_that_is_too_old_keeps_its_writes_until_its_update];

/// A token that has ended, and the one that renewing gives.
#[derive(Clone)]
struct Renewable {
    token: Arc<Mutex<String>>,
    next: Option<String>,
    renewals: Arc<AtomicU32>,
}

type Asked<'a, T> = Pin<Box<dyn Future<Output = Result<T, CredentialsError>> + Send + 'a>>;

impl Credentials for Renewable {
    fn token(&self) -> Asked<'_, String> {
        Box::pin(ready(Ok(self.token.lock().unwrap().clone())))
    }
    fn refresh(&self) -> Asked<'_, ()> {
        self.renewals.fetch_add(1, Ordering::Relaxed);
        if let Some(next) = &self.next {
            self.token.lock().unwrap().clone_from(next);
        }
        Box::pin(ready(Ok(())))
    }
}

async fn an_expired_token_is_renewed_once(app: App) {
    let mut db = shop(&app).await;
    let mut ended = token::claims("ana", Some("s1"));
    ended["exp"] = token::expiry(-100).into();
    let of = |next: Option<String>| Renewable {
        token: Arc::new(Mutex::new(token::signed(&ended))),
        next,
        renewals: Arc::default(),
    };
    let good = of(Some(bearer("ana")));
    let ana = Box::pin(setup("ana").server(app.address.at(""), good.clone()).open()).await.unwrap();
    add(&ana, "c1").await;
    settled(&ana).await;
    assert_eq!((good.renewals.load(Ordering::Relaxed), db.count("customers").await), (1, 1));
    // One that stays refused is not asked for again and again.
    let bad = of(None);
    let ben = Box::pin(setup("ana").server(app.address.at(""), bad.clone()).open()).await.unwrap();
    ben.until(|status| status.phase == Phase::SignedOut).await.unwrap();
    add(&ben, "c2").await;
    assert_eq!((names(&ben).await.len(), ben.status().borrow().pending), (1, 1), "it goes on without");
    assert_eq!(bad.renewals.load(Ordering::Relaxed), 1);
    *bad.token.lock().unwrap() = bearer("ana");
    ben.sign_in(crate::fixture::claims("ana")).unwrap();
    settled(&ben).await;
    assert_eq!(db.count("customers").await, 2);
}

/// A server that takes apps from version 2 on.
struct Strict(HttpTransport);

impl Transport for Strict {
    fn send(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + '_>> {
        if request.contract_version.starts_with("2.") {
            return self.0.send(request);
        }
        let body = br#"{"error": "update the app", "code": "upgrade_required", "minClientVersion": "2.0.0"}"#;
        let body = Box::new(Some(body.to_vec()));
        Box::pin(ready(Ok(Response { status: 426, retry_after_ms: None, lines: false, body })))
    }
    fn open<'a>(
        &'a self,
        token: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<Box<dyn Frames>, Failure>> + Send + 'a>> {
        self.0.open(token)
    }
}

async fn inv27_an_app_that_is_too_old_keeps_its_writes_until_its_update(app: App) {
    let mut db = shop(&app).await;
    let dir = nizhal_tests::TempDir::new("device");
    let of = |version: &str| {
        let server = Strict(HttpTransport::new(&app.address.at("")).unwrap());
        setup("ana").file(dir.path().join("app.db")).contract_version(version).transport(server, bearer("ana"))
    };
    let old = Box::pin(of("1.9.0").open()).await.unwrap();
    add(&old, "c1").await;
    let told = old.until(|status| matches!(status.phase, Phase::UpgradeRequired(_))).await.unwrap();
    assert_eq!((told.pending, names(&old).await.len()), (1, 1));
    old.close().await;
    let new = Box::pin(of("2.0.0").open()).await.unwrap();
    settled(&new).await;
    assert_eq!(db.count("customers").await, 1);
}
