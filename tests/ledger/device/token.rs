//! Credentials that end, and apps that are too old.

use crate::fixture::{add, bearer, names, reached, settled, setup, shop};
use credit_ledger::{mutators, rule::ledger_rules, tables};
use nizhal::client::{Credentials, CredentialsError, Phase};
use nizhal::prelude::*;
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
    reached(&ben, "the token to be refused", |status| status.phase == Phase::SignedOut).await;
    add(&ben, "c2").await;
    assert_eq!((names(&ben).await.len(), ben.status().borrow().pending), (1, 1), "it goes on without");
    assert_eq!(bad.renewals.load(Ordering::Relaxed), 1);
    *bad.token.lock().unwrap() = bearer("ana");
    ben.sign_in(crate::fixture::claims("ana")).unwrap();
    settled(&ben).await;
    assert_eq!(db.count("customers").await, 2);
}

/// The app's server in this process, which takes apps from version 2 on.
async fn strict(app: &App) -> (nizhal::Server, actix_web::dev::ServerHandle, String) {
    let server = Nizhal::app("credit-ledger")
        .tables(tables())
        .mutators(mutators())
        .rules(ledger_rules())
        .contract_version("2.0.0")
        .min_client_version("2.0.0")
        .database_url(app.database.url())
        .auth_secret(token::SECRET)
        .server()
        .await
        .unwrap();
    let routes = server.routes();
    let http = actix_web::HttpServer::new(move || actix_web::App::new().configure(routes.clone()))
        .workers(1)
        .disable_signals();
    let http = http.bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", http.addrs()[0]);
    let running = http.run();
    let handle = running.handle();
    tokio::spawn(running);
    (server, handle, url)
}

async fn inv27_an_app_that_is_too_old_keeps_its_writes_until_its_update(mut app: App) {
    let mut db = shop(&app).await;
    app.server.kill();
    let (server, http, url) = strict(&app).await;
    let dir = nizhal_tests::TempDir::new("device");
    let of = |version: &str| {
        setup("ana").file(dir.path().join("app.db")).contract_version(version).server(url.clone(), bearer("ana"))
    };
    let old = Box::pin(of("1.9.0").open()).await.unwrap();
    add(&old, "c1").await;
    let told = reached(&old, "the refusal", |status| matches!(status.phase, Phase::UpgradeRequired(_))).await;
    assert_eq!((told.pending, names(&old).await.len(), db.count("customers").await), (1, 1, 0));
    let Phase::UpgradeRequired(failure) = told.phase else { unreachable!() };
    assert_eq!(failure.code, "upgrade_required");
    old.close().await;
    let new = Box::pin(of("2.0.0").open()).await.unwrap();
    settled(&new).await;
    assert_eq!(db.count("customers").await, 1);
    new.close().await;
    http.stop(true).await;
    server.shutdown().await;
}
