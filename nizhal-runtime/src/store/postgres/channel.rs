//! The channels of LISTEN and NOTIFY: external writers, other servers, and the LISTEN barrier.

use super::{PostgresStore, clock};
use crate::store::{ExternalWrites, StoreError, limit::ANSWER_TIMEOUT};
use futures_util::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::{str::FromStr, time::Duration};

/// How long a connection to listen on may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl PostgresStore {
    pub(in crate::store) fn listen_at(&mut self, url: String) {
        self.listen_url = url;
    }

    /// Opens a connection of its own that receives external writes, our LISTEN barriers and, when asked, messages of other servers.
    pub(in crate::store) async fn external_writes(
        &self,
        listener: u64,
        with_messages: bool,
    ) -> Result<ExternalWrites, StoreError> {
        let channel = self.channel().await?;
        let (barrier_channel, servers) = (barrier_channel(&channel, listener), servers(&channel));
        let options = PgConnectOptions::from_str(&self.listen_url)?.application_name("nizhal listen");
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(options)
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // A lost connection is told, not mended in silence: what came meanwhile is lost.
        listener.eager_reconnect(false);
        let mut channels = vec![channel.as_str(), barrier_channel.as_str()];
        channels.extend(with_messages.then_some(servers.as_str()));
        listener.listen_all(channels).await?;
        Ok(ExternalWrites::Postgres { listener, barrier_channel, message_channel: servers })
    }

    pub(in crate::store) async fn publish(&self, messages: &[String]) -> Result<(), StoreError> {
        let servers = servers(&self.channel().await?);
        // A function call for each, in order; one commit, so one turn in the queue behind NOTIFY.
        let sql = "select pg_notify($1, message) from unnest($2::text[]) with ordinality as m(message, at) order by at";
        let published = sqlx::query(sql).bind(servers).bind(messages).execute(self.pool()).boxed();
        self.pools.wait(ANSWER_TIMEOUT, published).await.map(drop)
    }

    pub(in crate::store) async fn send_barrier(&self, listener: u64, number: u64) -> Result<(), StoreError> {
        let barrier_channel = barrier_channel(&self.channel().await?, listener);
        let sent = sqlx::query("select pg_notify($1, $2)")
            .bind(barrier_channel)
            .bind(number.to_string())
            .execute(self.pool())
            .boxed();
        self.pools.wait(ANSWER_TIMEOUT, sent).await.map(drop)
    }

    /// The channel of this schema; asked once.
    async fn channel(&self) -> Result<String, StoreError> {
        if let Some(channel) = self.channel.get() {
            return Ok(channel.clone());
        }
        let found = sqlx::query_scalar(clock::CHANNEL).fetch_one(self.pool()).boxed();
        let channel: String = self.pools.wait(ANSWER_TIMEOUT, found).await?;
        Ok(self.channel.get_or_init(|| channel).clone())
    }
}

fn servers(channel: &str) -> String {
    format!("{channel}_bus")
}

fn barrier_channel(channel: &str, listener: u64) -> String {
    format!("{channel}_{listener:016x}")
}
