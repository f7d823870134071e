//! The cluster: how servers hear of each other and of writers from outside, and the scopes that are kept for as long as they do.

mod adapter;
mod connection;
mod health;
mod scope;

pub(crate) use adapter::Adapter;
pub(crate) use health::{Direction, Health};
pub(crate) use scope::Scopes;

use crate::{
    engine::Engine,
    environment::Environment,
    hub::{Hub, Presence, PresenceLimits},
    settings::{Realtime as Mode, Settings},
};
pub(crate) use connection::AdapterHandle;
use connection::ClusterConnection;
use scope::ListenBarrier;
use std::sync::{Arc, Mutex};
use tokio::{sync::watch, task::JoinHandle};

/// Everything of realtime that one server has.
pub(crate) struct Realtime {
    pub(crate) presence: Presence,
    pub(crate) scopes: Scopes,
    pub(crate) adapters: Vec<AdapterHandle>,
    connection: Arc<ClusterConnection>,
}

impl Realtime {
    /// Silent yet; `database` is what tells this database from others where one server carries the messages of many.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        hub: Hub,
        environment: Arc<dyn Environment>,
        settings: &Settings,
        mode: Mode,
        database: &str,
    ) -> Self {
        let me = environment.new_id();
        // The low half of a version 7 id is random.
        let listener = me.as_u64_pair().1;
        let limits = PresenceLimits {
            silence: settings.realtime.presence_silence,
            bytes_per_actor: settings.realtime.max_presence_bytes_per_actor,
            bytes_per_bucket: settings.realtime.max_presence_bytes_per_bucket,
        };
        let presence = Presence::new(hub.clone(), me, limits);
        let scopes = Scopes::new(engine.clone(), ListenBarrier::new(engine.clone(), listener));
        let local = adapter::Local { engine: engine.clone(), listener };
        let handle = |adapter, database| AdapterHandle { adapter, health: Arc::<Health>::default(), database };
        let adapters = match mode {
            Mode::Local => vec![handle(Arc::new(local) as Arc<dyn Adapter>, true)],
            Mode::Postgres => vec![handle(Arc::new(adapter::Postgres(local)), true)],
            #[cfg(feature = "nats")]
            Mode::Nats => {
                let nats = adapter::Nats::new(settings.realtime.nats.clone(), database);
                vec![handle(Arc::new(local), true), handle(Arc::new(nats), false)]
            }
            #[cfg(not(feature = "nats"))]
            Mode::Nats => unreachable!("the start refused it"),
        };
        #[cfg(not(feature = "nats"))]
        let _ = database;
        let connection = ClusterConnection {
            me,
            engine: engine.clone(),
            hub,
            presence: presence.clone(),
            scopes: scopes.clone(),
            environment,
            server_silence: settings.realtime.server_silence,
            reader: Mutex::default(),
        };
        Self { presence, scopes, adapters, connection: Arc::new(connection) }
    }

    /// Starts the receive and publish tasks; they end soon after `stopping`.
    pub(crate) fn start(&self, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        // The receive tasks stay until the last was published: publishing may need the same connection.
        let mut listening = stopping.clone();
        for handle in self.adapters.iter().filter(|handle| handle.adapter.max_message_bytes().is_some()) {
            let published = watch::Sender::new(false);
            listening = published.subscribe();
            self.connection.hub.outbox().open();
            tasks.push(tokio::spawn(self.connection.clone().publish(handle.clone(), stopping.clone(), published)));
            tasks.push(tokio::spawn(self.connection.clone().send_heartbeats(stopping.clone())));
        }
        for handle in &self.adapters {
            tasks.push(tokio::spawn(self.connection.clone().listen(handle.clone(), listening.clone())));
        }
        tasks
    }

    /// Buckets that wait to be published, and what was merged for want of room.
    pub(crate) fn outbox(&self) -> (usize, u64) {
        self.connection.hub.outbox().counts()
    }

    /// How this server is called among others.
    pub(crate) fn instance(&self) -> String {
        self.connection.me.to_string()
    }
}
