//! The app's builder: what it is made of.

use super::claims::ClaimsType;
use crate::{
    auth::Authenticator,
    environment::{Environment, SystemEnvironment},
    http::{OwnRoutes, ServiceConfig},
    observe::Observer,
    settings::{
        BlobSettings, Cors, DatabaseUrl, JwksSource, Mode, RateLimit, RealtimeSettings, Secret, Settings,
        SocketSettings,
    },
};
use nizhal_core::{Actor, JobEntry, MutatorEntry, Result, Rule, Rules, TableDesc};
use sea_orm::DatabaseTransaction;
use serde_json::Value;
use std::{pin::Pin, sync::Arc};

pub(super) type Seed =
    Box<dyn for<'a> FnOnce(&'a DatabaseTransaction) -> Pin<Box<dyn Future<Output = Result<()>> + 'a>>>;
type Banner = Box<dyn FnOnce(&str, &[DevToken]) -> String>;
type Override = Box<dyn FnOnce(&mut Settings)>;

/// A token that a development start signed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DevToken {
    /// What `.dev_token` called it.
    pub label: String,
    /// The token.
    pub token: String,
}

/// An app: its tables, mutators and rules, and the verbs that run it.
///
/// ```ignore
/// #[nizhal::main]
/// async fn main() -> nizhal::Result<()> {
///     Nizhal::app("credit-ledger")
///         .tables(tables![Customer, ShopMember])
///         .mutators(mutators![add_customer])
///         .rules(ledger_rules())
///         .run()
///         .await
/// }
/// ```
#[must_use = "an app does nothing until `.run().await` or `.server().await`"]
pub struct Nizhal {
    pub(super) name: String,
    pub(super) tables: Vec<&'static TableDesc>,
    pub(super) mutators: Vec<MutatorEntry>,
    pub(super) jobs: Vec<JobEntry>,
    pub(super) rules: Vec<Rule>,
    pub(super) claims: Option<ClaimsType>,
    pub(super) authenticator: Option<Arc<dyn Authenticator>>,
    pub(super) environment: Arc<dyn Environment>,
    pub(super) contract_version: String,
    pub(super) min_client_version: Option<String>,
    pub(super) base: Option<Settings>,
    pub(super) overrides: Vec<Override>,
    pub(super) observers: Vec<Arc<dyn Observer>>,
    pub(super) seed: Option<Seed>,
    pub(super) dev_tokens: Vec<(String, Value)>,
    pub(super) banner: Option<Banner>,
    pub(super) routes: Vec<OwnRoutes>,
}

impl Nizhal {
    /// An app of this name, with nothing in it yet.
    pub fn app(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            tables: Vec::new(),
            mutators: Vec::new(),
            jobs: Vec::new(),
            rules: Vec::new(),
            claims: None,
            authenticator: None,
            environment: Arc::new(SystemEnvironment),
            contract_version: "1.0.0".to_owned(),
            min_client_version: None,
            base: None,
            overrides: Vec::new(),
            observers: Vec::new(),
            seed: None,
            dev_tokens: Vec::new(),
            banner: None,
            routes: Vec::new(),
        }
    }

    /// The tables, those that stay on the server too: `tables![Customer, ShopMember]`.
    pub fn tables(mut self, tables: Vec<&'static TableDesc>) -> Self {
        self.tables.extend(tables);
        self
    }

    /// The mutators: `mutators![add_customer]`.
    pub fn mutators(mut self, mutators: Vec<MutatorEntry>) -> Self {
        self.mutators.extend(mutators);
        self
    }

    /// The jobs: `jobs![sms_reminder]`.
    pub fn jobs(mut self, jobs: Vec<JobEntry>) -> Self {
        self.jobs.extend(jobs);
        self
    }

    /// The rules; their claims type is what tokens must carry.
    pub fn rules<A: Actor>(mut self, rules: Rules<A>) -> Self {
        self.rules.extend(rules.into_inner());
        self.claims = Some(ClaimsType::of::<A>());
        self
    }

    /// Verifies tokens in place of the built-in HS256; `NIZHAL_AUTH_SECRET` is then not needed.
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Hears of what the server does; several may.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observers.push(Arc::new(observer));
        self
    }

    /// Takes time and ids from elsewhere, for tests.
    pub fn environment(mut self, environment: impl Environment) -> Self {
        self.environment = Arc::new(environment);
        self
    }

    /// The contract's version, such as `1.2.0`; `1.0.0` by default.
    pub fn contract_version(mut self, version: impl Into<String>) -> Self {
        self.contract_version = version.into();
        self
    }

    /// The oldest client contract version that may still pull and push.
    pub fn min_client_version(mut self, version: impl Into<String>) -> Self {
        self.min_client_version = Some(version.into());
        self
    }

    /// Fills the database at every development start, in one transaction; it must itself see whether that was done
    /// before.
    pub fn seed<F>(mut self, seed: F) -> Self
    where
        F: AsyncFnOnce(&DatabaseTransaction) -> Result<()> + 'static,
    {
        self.seed = Some(Box::new(move |db| Box::pin(async move { seed(db).await })));
        self
    }

    /// A token to sign and print at a development start, good for 30 days.
    pub fn dev_token(mut self, label: impl Into<String>, claims: impl Actor) -> Self {
        // Claims that do not serialise are found at start, where there is somebody to tell.
        self.dev_tokens.push((label.into(), serde_json::to_value(claims).unwrap_or(Value::Null)));
        self
    }

    /// More text to print at a development start, from the server's URL and the signed tokens.
    pub fn banner(mut self, banner: impl FnOnce(&str, &[DevToken]) -> String + 'static) -> Self {
        self.banner = Some(Box::new(banner));
        self
    }

    /// Adds routes of the app's own, which each thread of the server configures for itself. They come before the engine's, behind the same
    /// compression and CORS; limits of bodies are theirs to set. A handler reaches the server as `web::Data<Server>`, and learns by
    /// [`Server::claims`](crate::Server::claims) who asks.
    ///
    /// ```ignore
    /// Nizhal::app("ledger").routes(|config| {
    ///     config.route("/hello", web::get().to(hello));
    /// })
    /// ```
    pub fn routes(mut self, configure: impl Fn(&mut ServiceConfig) + Send + Sync + 'static) -> Self {
        self.routes.push(Arc::new(configure));
        self
    }

    /// Starts from these settings and reads no environment; the overrides below still apply.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.base = Some(settings);
        self
    }

    /// Overrides `DATABASE_URL`.
    pub fn database_url(self, url: impl Into<DatabaseUrl>) -> Self {
        let url = url.into();
        self.set(|settings| settings.database_url = url)
    }

    /// Overrides `HOST`.
    pub fn host(self, host: impl Into<String>) -> Self {
        let host = host.into();
        self.set(|settings| settings.host = host)
    }

    /// Overrides `PORT`.
    pub fn port(self, port: u16) -> Self {
        self.set(move |settings| settings.port = port)
    }

    /// Overrides `NIZHAL_ENV`.
    pub fn mode(self, mode: Mode) -> Self {
        self.set(move |settings| settings.mode = mode)
    }

    /// Overrides `NIZHAL_AUTH_SECRET`.
    pub fn auth_secret(self, secret: impl Into<String>) -> Self {
        let secret = Secret::new(secret);
        self.set(|settings| settings.auth_secret = Some(secret))
    }

    /// Overrides `NIZHAL_ADMIN_PASSWORD`.
    pub fn admin_password(self, password: impl Into<String>) -> Self {
        let password = Secret::new(password);
        self.set(|settings| settings.admin_password = Some(password))
    }

    /// Overrides `NIZHAL_RATE_LIMIT`; `None` is `off`.
    pub fn rate_limit(self, limit: Option<RateLimit>) -> Self {
        self.set(move |settings| settings.rate_limit = limit)
    }

    /// Overrides `NIZHAL_MAX_BODY_BYTES`.
    pub fn max_body_bytes(self, bytes: usize) -> Self {
        self.set(move |settings| settings.max_body_bytes = bytes)
    }

    /// Overrides `NIZHAL_CORS`.
    pub fn cors(self, cors: Cors) -> Self {
        self.set(|settings| settings.cors = cors)
    }

    /// Overrides `NIZHAL_DB_POOL`.
    pub fn db_pool(self, connections: u32) -> Self {
        self.set(move |settings| settings.db_pool = connections)
    }

    /// Overrides `NIZHAL_TOMBSTONE_DAYS`; `None` remembers deletes for ever.
    pub fn tombstone_days(self, days: Option<u32>) -> Self {
        self.set(move |settings| settings.tombstone_days = days)
    }

    /// Overrides `NIZHAL_IMAGE_MIN_ROWS`; `None` makes no images.
    pub fn image_min_rows(self, rows: Option<u32>) -> Self {
        self.set(move |settings| settings.images.min_rows = rows)
    }

    /// Overrides `NIZHAL_JOB_WORKERS`.
    pub fn job_workers(self, workers: u32) -> Self {
        self.set(move |settings| settings.job_workers = workers)
    }

    /// Overrides `NIZHAL_AUDIT_DAYS`: `Some(0)` keeps entries for ever, `None` writes none.
    pub fn audit_days(self, days: Option<u32>) -> Self {
        self.set(move |settings| settings.audit_days = days)
    }

    /// Overrides `NIZHAL_AUDIT_ARGS`.
    pub fn audit_args(self, keep: bool) -> Self {
        self.set(move |settings| settings.audit_args = keep)
    }

    /// Overrides `NIZHAL_MAX_BUCKETS`.
    pub fn max_buckets(self, most: usize) -> Self {
        self.set(move |settings| settings.max_buckets = most)
    }

    /// Overrides `NIZHAL_METRICS`: true is `open`.
    pub fn metrics_open(self, open: bool) -> Self {
        self.set(move |settings| settings.metrics_open = open)
    }

    /// Overrides how servers hear of each other: `.realtime(|realtime| realtime.mode = Some(Realtime::Local))`.
    pub fn realtime(self, change: impl FnOnce(&mut RealtimeSettings) + 'static) -> Self {
        self.set(|settings| change(&mut settings.realtime))
    }

    /// Overrides limits of WebSockets: `.sockets(|sockets| sockets.max_per_actor = 10)`.
    pub fn sockets(self, change: impl FnOnce(&mut SocketSettings) + 'static) -> Self {
        self.set(|settings| change(&mut settings.sockets))
    }

    /// Overrides where blobs are kept, and their limits: `.blobs(|blobs| blobs.max_bytes = 10 * 1024 * 1024)`.
    pub fn blobs(self, change: impl FnOnce(&mut BlobSettings) + 'static) -> Self {
        self.set(|settings| change(&mut settings.blobs))
    }

    /// Overrides `NIZHAL_JWKS`.
    pub fn jwks(self, source: JwksSource) -> Self {
        self.set(move |settings| settings.jwks = Some(source))
    }

    /// Overrides `NIZHAL_JWKS_CA`.
    pub fn jwks_ca(self, path: impl Into<std::path::PathBuf>) -> Self {
        let path = path.into();
        self.set(|settings| settings.jwks_ca = Some(path))
    }

    /// Overrides `NIZHAL_JWT_AUDIENCE`.
    pub fn jwt_audience(self, audience: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let audience = audience.into_iter().map(Into::into).collect();
        self.set(move |settings| settings.jwt_audience = audience)
    }

    /// Overrides `NIZHAL_JWT_ISSUER`.
    pub fn jwt_issuer(self, issuer: impl Into<String>) -> Self {
        let issuer = issuer.into();
        self.set(move |settings| settings.jwt_issuer = Some(issuer))
    }

    /// Rules that were not written through the typed builder.
    #[cfg(test)]
    pub(crate) fn replace_rules(&mut self, rules: Vec<Rule>) {
        self.rules = rules;
    }

    fn set(mut self, change: impl FnOnce(&mut Settings) + 'static) -> Self {
        self.overrides.push(Box::new(change));
        self
    }
}

impl std::fmt::Debug for Nizhal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nizhal").field("name", &self.name).finish_non_exhaustive()
    }
}
