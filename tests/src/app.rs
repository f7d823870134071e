//! One test's whole world: a fresh database, the real server on it, and devices that talk to it.

use crate::{Address, Connection, Database, Device, Kind, Reply, Server, SetUp, Socket, token, verb};
use serde_json::Value;

/// Writes each test twice, as `postgres::name` and `sqlite::name`; the test crate says which binary it is about, as `BINARY` at its root.
#[macro_export]
macro_rules! both {
    ($($name:ident),* $(,)?) => {
        $crate::on!(postgres, Postgres: $($name),*);
        $crate::on!(sqlite, Sqlite: $($name),*);
    };
}

/// Writes each test for one database: `on!(postgres, Postgres: name, …)`.
#[expect(clippy::crate_in_macro_def, reason = "each crate of tests says which binary it is about")]
#[macro_export]
macro_rules! on {
    ($module:ident, $kind:ident: $($name:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $name() {
                $crate::run($crate::Kind::$kind, crate::BINARY, super::$name);
            })*
        }
    };
}

/// Runs one test in a runtime and on a database of its own.
///
/// # Panics
/// When the test does.
pub fn run<F: Future<Output = ()>>(kind: Kind, binary: &str, test: impl FnOnce(App) -> F) {
    play(async move || test(App::start(kind, binary).await).await);
}

/// Runs a test that makes its own app.
///
/// # Panics
/// When the test does.
pub fn play(test: impl AsyncFnOnce()) {
    // Some tests open thousands of sockets, and all of a process's tests run side by side.
    crate::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    runtime.block_on(async { Box::pin(test()).await });
}

/// A server on a fresh, provisioned database.
#[derive(Debug)]
pub struct App {
    /// The server; dropped, and so killed, before its database.
    pub server: Server,
    /// What it was started with.
    pub set_up: SetUp,
    /// Where it listens.
    pub address: Address,
    /// Its database.
    pub database: Database,
    http: reqwest::Client,
}

impl App {
    /// Provisions a fresh database and starts the server on it.
    ///
    /// # Panics
    /// When either fails.
    pub async fn start(kind: Kind, binary: &str) -> Self {
        Self::on(Database::new(kind).await, binary)
    }

    /// Provisions this database and starts the server on it.
    ///
    /// # Panics
    /// When either fails.
    pub fn on(database: Database, binary: &str) -> Self {
        let set_up = SetUp::new(binary, database.url());
        Self::with(database, set_up)
    }

    /// The same with this set-up, which may reach the database by another way.
    ///
    /// # Panics
    /// When it fails.
    pub fn with(database: Database, set_up: SetUp) -> Self {
        let migrated = verb(&set_up, &["migrate"]);
        assert!(migrated.status.success(), "`migrate` failed: {}", String::from_utf8_lossy(&migrated.stderr));
        Self::serve_with(database, set_up)
    }

    /// Starts the server on a database that is provisioned already.
    ///
    /// # Panics
    /// When it fails.
    pub fn serve(database: Database, binary: &str) -> Self {
        let set_up = SetUp::new(binary, database.url());
        Self::serve_with(database, set_up)
    }

    fn serve_with(database: Database, set_up: SetUp) -> Self {
        let address = Address::default();
        let server = Server::start(&set_up, &address);
        Self { server, set_up, address, database, http: crate::http() }
    }

    /// Starts the server again on the same database, killing the one that runs; with another set-up, when it was changed.
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = Server::start(&self.set_up, &self.address);
    }

    /// A connection of the test's own to the database.
    pub async fn sql(&self) -> Connection {
        self.database.connect().await
    }

    /// A device of this user whose token names this shop; its `deviceId` is `name`.
    pub fn device(&self, name: &str, user: &str, shop: &str) -> Device {
        Device::new(&self.address, name, &token::signed(&token::claims(user, Some(shop))))
    }

    /// `POST` of a body as it stands.
    pub async fn post(&self, path: &str, token: &str, body: impl Into<reqwest::Body>) -> Reply {
        let request = self.http.post(self.address.at(path)).header("content-type", "application/json");
        Reply::of(request.bearer_auth(token).body(body)).await
    }

    /// `GET` with a token, or without when it is empty.
    pub async fn get(&self, path: &str, token: &str) -> Reply {
        let request = self.http.get(self.address.at(path));
        Reply::of(if token.is_empty() { request } else { request.bearer_auth(token) }).await
    }

    /// Any request, for what the others cannot say.
    pub fn request(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.address.at(path))
    }

    /// `POST /sync/push` of these mutations.
    pub async fn push(&self, token: &str, mutations: &[Value]) -> Reply {
        self.post("/sync/push", token, serde_json::json!({"mutations": mutations}).to_string()).await
    }

    /// The actor's stream.
    ///
    /// # Errors
    /// The status, when the server refuses.
    pub async fn stream(&self, query: &str, token: Option<&str>) -> Result<Socket, u16> {
        Socket::open(&self.address.at("/sync/stream"), query, token).await
    }
}
