//! `GET /nizhal/stats`: what the server does right now, for its admin.

use super::{error::HttpError, respond::respond};
use crate::{
    cluster::{AdapterHandle, Direction},
    http::Server,
    store::{BlobCounts, Holder, Horizon, JobCounts, StoreError},
};
use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web::Data};
use serde_json::{Value, json};
use std::{error::Error, sync::atomic::Ordering::Relaxed, time::Duration};

/// How long the database may take, before it counts as away: who asks wants to know what is wrong now.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// The most actors whose bytes are listed.
const MAX_ACTORS: u32 = 100;

pub(super) async fn stats(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(&server, &request, Box::pin(answer(&request, &server))).await
}

async fn answer(request: &HttpRequest, server: &Server) -> Result<HttpResponse, HttpError> {
    server.admin().admit(request)?;
    let database = database(server).await;
    let (hub, store) = (server.hub().stats(), &server.engine().store);
    let pool = store.pool_use();
    let mut stats = json!({
        "app": server.name(),
        "contractVersion": server.gate().contract.to_string(),
        "contractHash": server.contract().hash(),
        "mode": server.settings().mode.as_str(),
        "database": if database.is_some() { server.database_kind() } else { "unavailable" },
        "pool": {"open": pool.open, "idle": pool.idle, "max": pool.most},
        "uptimeSeconds": server.uptime().as_secs(),
        "sockets": hub.sockets,
        "subscriptions": hub.subscriptions,
        "pingsSent": hub.pings_sent,
        "inFlight": {
            "requests": server.admission().requests().taken(),
            "bytes": server.admission().bytes().taken(),
        },
        "socketsClosed": closed(server),
        "realtime": realtime(server),
        "auditEntries": store.audit_count(),
        "counts": server.counts().read(),
    });
    if let Some(Database { jobs, horizon, holder, blobs }) = database {
        if let Some(counts) = blobs {
            stats["blobs"] = blobs_shown(counts, &bytes_by_actor(server).await);
        }
        stats["jobs"] = json!({"pending": jobs.pending, "running": jobs.running, "dead": jobs.dead});
        stats["horizon"] = json!({
            "version": horizon.version,
            "horizon": horizon.horizon,
            "lag": horizon.lag(),
            "heldBy": holder.as_ref().map(held_by),
        });
    }
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(stats))
}

/// By code; `peer` are those that left by themselves.
fn closed(server: &Server) -> Value {
    let name = |code: u16| if code == 0 { "peer".to_owned() } else { code.to_string() };
    server.sockets().closed_by_code().into_iter().map(|(code, count)| (name(code), Value::from(count))).collect()
}

/// How servers hear of each other, and what scopes cost.
fn realtime(server: &Server) -> Value {
    let realtime = server.realtime();
    let way = |line: &AdapterHandle, way: Direction| {
        let way = line.health.way(way);
        let state = way.up.map_or("untried", |up| if up { "up" } else { "down" });
        json!({"state": state, "since": way.since, "lastError": way.last_error})
    };
    let adapter = |line: &AdapterHandle| {
        let health = &line.health;
        json!({
            "adapter": line.adapter.name(),
            "hearing": way(line, Direction::In),
            "telling": way(line, Direction::Out),
            "received": health.received.load(Relaxed),
            "published": health.published.load(Relaxed),
            "failures": health.failures.load(Relaxed),
            "healed": health.healed.load(Relaxed),
        })
    };
    let ((waiting, merged), (reads, hits)) = (realtime.outbox(), realtime.scopes.counts());
    json!({
        "instance": realtime.instance(),
        "otherServers": realtime.presence.peers(),
        "adapters": realtime.adapters.iter().map(adapter).collect::<Vec<_>>(),
        "waiting": waiting,
        "dropped": merged,
        "scopeReads": reads,
        "scopesKept": hits,
        "proofs": realtime.scopes.listen_barrier().sent(),
    })
}

fn held_by(holder: &Holder) -> Value {
    json!({
        "pid": holder.pid,
        "applicationName": holder.application_name,
        "user": holder.user,
        "state": holder.state,
        "ageSeconds": holder.age_seconds,
        "prepared": holder.prepared,
    })
}

fn blobs_shown(counts: BlobCounts, by_actor: &[(String, i64)]) -> Value {
    json!({
        "stored": counts.stored,
        "storedBytes": counts.stored_bytes,
        "orphaned": counts.orphaned,
        "orphanedBytes": counts.orphaned_bytes,
        "uploads": counts.uploads,
        "bytesByActor": by_actor.iter().map(|(actor, bytes)| json!({"actor": actor, "bytes": bytes})).collect::<Vec<_>>(),
    })
}

/// The actors that uploaded the most; nobody when the database does not answer in time.
async fn bytes_by_actor(server: &Server) -> Vec<(String, i64)> {
    let asking = server.engine().store.blob_bytes_by_actor(MAX_ACTORS);
    tokio::time::timeout(ANSWER_TIMEOUT, asking).await.ok().and_then(Result::ok).unwrap_or_default()
}

/// The database's part of the stats.
pub(super) struct Database {
    pub(super) jobs: JobCounts,
    pub(super) horizon: Horizon,
    /// Who holds the horizon back, when it lags.
    pub(super) holder: Option<Holder>,
    /// The blobs, where there is a store for them.
    pub(super) blobs: Option<BlobCounts>,
}

/// Asks the database; `None` when it does not answer in time.
pub(super) async fn database(server: &Server) -> Option<Database> {
    let store = &server.engine().store;
    let asking = async {
        let horizon = store.horizon().await?;
        let holder = if horizon.lag() > 0 { store.holder().await? } else { None };
        let blobs = if server.blobs().is_some() { Some(store.blob_counts().await?) } else { None };
        Ok::<_, StoreError>(Database { jobs: store.job_counts().await?, horizon, holder, blobs })
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, asking).await {
        Ok(Ok(database)) => Some(database),
        Ok(Err(error)) => {
            tracing::warn!(error = &error as &dyn Error, "the database cannot be asked for stats");
            None
        }
        Err(_) => {
            tracing::warn!("the database takes too long to be asked for stats");
            None
        }
    }
}
