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
    pub(crate) lines: Vec<AdapterHandle>,
    link: Arc<ClusterConnection>,
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
        let lines = match mode {
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
        let link = ClusterConnection {
            me,
            engine: engine.clone(),
            hub,
            presence: presence.clone(),
            scopes: scopes.clone(),
            environment,
            server_silence: settings.realtime.server_silence,
            reader: Mutex::default(),
        };
        Self { presence, scopes, lines, link: Arc::new(link) }
    }

    /// Begins to hear and to tell; the tasks end soon after `stopping`.
    pub(crate) fn start(&self, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
        let mut tasks = Vec::new();
        // Who listens stays until the last was told: telling may need the same connection.
        let mut listening = stopping.clone();
        for handle in self.lines.iter().filter(|handle| handle.adapter.max_message_bytes().is_some()) {
            let told = watch::Sender::new(false);
            listening = told.subscribe();
            self.link.hub.outbox().open();
            tasks.push(tokio::spawn(self.link.clone().publish(handle.clone(), stopping.clone(), told)));
            tasks.push(tokio::spawn(self.link.clone().send_heartbeats(stopping.clone())));
        }
        for handle in &self.lines {
            tasks.push(tokio::spawn(self.link.clone().listen(handle.clone(), listening.clone())));
        }
        tasks
    }

    /// Buckets that wait to be told, and what was merged for want of room.
    pub(crate) fn outbox(&self) -> (usize, u64) {
        self.link.hub.outbox().counts()
    }

    /// How this server is called among others.
    pub(crate) fn instance(&self) -> String {
        self.link.me.to_string()
    }
}
