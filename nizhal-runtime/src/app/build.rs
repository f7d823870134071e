//! From the builder to a server: settings, schema, database, engine.

use super::{DevToken, Nizhal, StartError, builder::Seed, contract::guard, token};
use crate::{
    auth::{Expected, Jwks, READ_KEYS_EVERY},
    blob::{Blobs, Objects},
    contract::Contract,
    engine::Engine,
    http::{Parts, Server, Version, VersionGate},
    hub::Hub,
    observe::Observers,
    schema::Schema,
    settings::{Mode, Realtime, Settings, Signing},
    store::{Audit, Store, StoreSettings},
};
use nizhal_core::NodeId;
use std::{collections::BTreeSet, sync::Arc};

/// A server about to be started, and what there is to say about it.
pub(super) struct Built {
    pub(super) server: Server,
    pub(super) tokens: Vec<DevToken>,
    /// Whether the secret was made for this run.
    pub(super) secret_made_here: bool,
}

impl Nizhal {
    /// Connects and makes the server, to be mounted into an actix-web app of your own.
    ///
    /// In development it provisions and seeds the database; in production it refuses one that is not provisioned.
    ///
    /// # Errors
    /// [`StartError`] when settings, schema or database do not do.
    pub async fn server(mut self) -> Result<Server, StartError> {
        let settings = self.resolve_settings()?;
        Ok(Box::pin(self.build(settings)).await?.server)
    }

    /// The environment's settings, or the given ones, with the builder's own on top.
    pub(super) fn resolve_settings(&mut self) -> Result<Settings, StartError> {
        let mut settings = match self.base.take() {
            Some(settings) => settings,
            None => Settings::from_env(&self.name)?,
        };
        for change in self.overrides.drain(..) {
            change(&mut settings);
        }
        settings.check()?;
        Ok(settings)
    }

    pub(super) fn schema(&mut self) -> Result<Arc<Schema>, StartError> {
        let (tables, rules) = (std::mem::take(&mut self.tables), std::mem::take(&mut self.rules));
        let schema = Schema::new(tables, rules, std::mem::take(&mut self.mutators))?;
        Ok(Arc::new(schema.with_jobs(std::mem::take(&mut self.jobs))?))
    }

    /// The app's store, for a verb that has no use for the rest of the app.
    pub(super) async fn store(&mut self, settings: &Settings) -> Result<Store, StartError> {
        let schema = self.schema()?;
        connect(&self.name, settings, schema).await
    }

    pub(super) fn gate(&self) -> Result<VersionGate, StartError> {
        let contract: Version = self.contract_version.parse()?;
        let min_client = self.min_client_version.as_deref().map(str::parse).transpose()?;
        Ok(VersionGate { contract, min_client })
    }

    pub(super) async fn build(mut self, settings: Settings) -> Result<Built, StartError> {
        let claims = self.claims.ok_or(StartError::NoRules)?;
        let schema = self.schema()?;
        let gate = self.gate()?;
        warn_of_unsynced(&schema);
        let contract = Contract::new(&self.name, &self.contract_version, &schema);
        let (mut signing, mut keys) = (None, None);
        let authenticator = match (self.authenticator.take(), settings.jwks()?) {
            (Some(authenticator), _) => authenticator,
            (None, Some(source)) => {
                if settings.jwt_audience.is_empty() {
                    tracing::warn!(
                        "NIZHAL_JWT_AUDIENCE is not set: tokens that the issuer made for other apps are taken too"
                    );
                }
                let jwks = keys.insert(Arc::new(Jwks::open(source.clone(), settings.jwks_ca.as_deref()).await?));
                (claims.by_keys)(jwks.clone(), Expected::of(&settings))
            }
            (None, None) => {
                let signing = signing.insert(settings.signing_secret()?);
                (claims.verifier)(signing.secret.bytes(), Expected::of(&settings))
            }
        };
        let tokens = self.sign_dev_tokens(&settings, signing.as_ref())?;
        let blob_store = settings.blobs.store_of(settings.mode, &settings.database_url);
        let objects = blob_store.as_ref().map(Objects::open).transpose()?;
        let store = connect(&self.name, &settings, schema.clone()).await?;
        let store = store.going_forward(settings.mode == Mode::Production);
        match settings.mode {
            Mode::Development => {
                if let Some(table) = store.foreign_rows().await.map_err(StartError::Provision)? {
                    return Err(StartError::ForeignRows { table });
                }
                provision(&store, &contract, &gate, &settings).await?;
                record_incarnation(&store).await;
                if let Some(seed) = self.seed.take() {
                    fill(&store, seed).await?;
                }
            }
            Mode::Production => {
                let statements = store.missing().await.map_err(StartError::Provision)?.len();
                if statements > 0 {
                    return Err(StartError::NotProvisioned { statements });
                }
                guard(&store, &contract, &gate, &settings).await?;
                keep(&store, &contract).await?;
                record_incarnation(&store).await;
            }
        }
        let mode = settings.realtime.mode_on(settings.database_url.as_str())?;
        let database = match mode {
            Realtime::Nats => store.identity().await.map_err(StartError::Provision)?,
            Realtime::Local | Realtime::Postgres => String::new(),
        };
        let hub = Hub::default();
        // Each run is a node of its own: its clock starts anew.
        let node = NodeId(self.environment.new_id().as_u128());
        let engine = Engine::new(schema, store, hub.clone(), self.environment.clone(), node)
            .with_max_buckets(settings.max_buckets)
            .with_storage(&settings.storage)
            .with_named_violations(settings.mode == Mode::Development)
            .with_observers(Observers::new(std::mem::take(&mut self.observers)));
        let blobs = objects.map(|objects| Blobs::new(engine.store.clone(), objects, settings.blobs.clone()));
        let engine = match (&blobs, settings.images.min_rows) {
            (Some(blobs), Some(min_rows)) => engine.with_images(Arc::new(blobs.clone()), min_rows),
            _ => engine,
        };
        let server = Server::new(Parts {
            name: self.name,
            blobs,
            settings,
            engine,
            hub,
            realtime: (mode, database),
            environment: self.environment,
            authenticator,
            contract,
            gate,
            routes: self.routes,
        });
        server.begin_tasks();
        if let Some(keys) = keys {
            tokio::spawn(keys.keep_fresh(READ_KEYS_EVERY, server.stopping()));
        }
        server.start_workers();
        Ok(Built { server, tokens, secret_made_here: signing.is_some_and(|signing| signing.made_here) })
    }

    fn sign_dev_tokens(&self, settings: &Settings, signing: Option<&Signing>) -> Result<Vec<DevToken>, StartError> {
        let (Some(signing), Mode::Development) = (signing, settings.mode) else { return Ok(Vec::new()) };
        let now = self.environment.now();
        let sign = |(label, claims): &(String, serde_json::Value)| {
            let token = token::sign(&signing.secret, claims, token::DEV_TOKEN_TTL, now)?;
            Ok(DevToken { label: label.clone(), token })
        };
        self.dev_tokens.iter().map(sign).collect()
    }
}

/// Runs the seed in one transaction of the engine's, so that its rows carry one version and reach devices together.
async fn fill(store: &Store, seed: Seed) -> Result<(), StartError> {
    let tx = store.begin().await.map_err(StartError::Provision)?;
    seed(&tx).await.map_err(StartError::Seed)?;
    store.on(&tx).finish().await.map_err(StartError::Provision)?;
    store.commit(tx).await.map_err(StartError::Provision)
}

/// Brings the database to the app's schema, unless clients could not survive that; gives the number of statements that ran.
pub(super) async fn provision(
    store: &Store,
    contract: &Contract,
    gate: &VersionGate,
    settings: &Settings,
) -> Result<usize, StartError> {
    let statements = store.plan().await.map_err(StartError::Provision)?.len();
    guard(store, contract, gate, settings).await?;
    store.provision().await.map_err(StartError::Provision)?;
    keep(store, contract).await?;
    Ok(statements)
}

/// Tells of tables that no device gets although nothing says that none should: a line of a rule was forgotten, or `server_only`.
fn warn_of_unsynced(schema: &Schema) {
    let synced: BTreeSet<&str> = schema.synced().iter().map(|table| table.name).collect();
    let is_hidden = |name: &str| !synced.contains(name) && !schema.gives_buckets(name);
    for table in schema.tables().iter().filter(|table| !table.server_only && is_hidden(table.name)) {
        tracing::warn!(
            table = table.name,
            "no rule syncs this table, so devices never get its rows: write a line for it in a rule, or mark it `server_only`"
        );
    }
}

/// Records that the database began a new incarnation, before anything is written in it.
async fn record_incarnation(store: &Store) {
    if let Err(error) = store.record_incarnation().await {
        // A standby cannot; the first pull after it is promoted will.
        tracing::info!(error = &error as &dyn std::error::Error, "the start of the database is not on record yet");
    }
}

async fn keep(store: &Store, contract: &Contract) -> Result<(), StartError> {
    let (bytes, failed) = (contract.bytes(), StartError::Provision);
    let text = String::from_utf8_lossy(&bytes);
    // A standby takes no write, not even one that changes nothing.
    if store.kept_contract().await.map_err(failed)?.as_deref() == Some(&*text) {
        return Ok(());
    }
    store.keep_contract(&text).await.map_err(failed)
}

pub(super) async fn connect(app: &str, settings: &Settings, schema: Arc<Schema>) -> Result<Store, StartError> {
    let wanted = StoreSettings { url: settings.database_url.as_str().to_owned(), pool: settings.db_pool };
    let failed = |cause| StartError::Connect { url: settings.database_url.clone(), cause };
    let audit = settings.audit_days.map_or(Audit::Off, |_| Audit::On { args: settings.audit_args });
    let store = Store::connect(&wanted, schema).await.map_err(failed)?;
    let listen_url = settings.realtime.listen_url.as_ref().map(|url| url.as_str().to_owned());
    let store = store.with_max_clients(settings.storage.max_clients_per_actor);
    Ok(store.with_app(app).with_audit(audit).with_listen_url(listen_url))
}
