//! Our own listener: the routes alone, compressed, with CORS, until a signal stops it.

use super::{cors, error, peer::Peers, service, unread};
use crate::http::Server;
use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::{Compress, from_fn},
    rt::{self, task::JoinHandle},
    web,
};
use std::{io, net::SocketAddr};

/// How long requests in flight may take to finish, in seconds.
const FINISH_S: u64 = 30;
/// How many connections may wait to be taken: after a cut all devices come back at once. The system may allow fewer.
const BACKLOG: u32 = 8192;
/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {host}:{port}; is another server there? Choose another with PORT or HOST")]
pub struct ListenError {
    host: String,
    port: u16,
    #[source]
    cause: io::Error,
}

/// A bound and running listener.
pub(crate) struct Listening {
    address: SocketAddr,
    handle: ServerHandle,
    running: JoinHandle<io::Result<()>>,
}

impl Listening {
    pub(crate) fn start(server: &Server) -> Result<Self, ListenError> {
        let settings = server.settings();
        let (host, port) = (settings.host.clone(), settings.port);
        let failed = |cause| ListenError { host: host.clone(), port, cause };
        let peers = Peers::new(settings.connections.max_per_peer);
        let server = server.clone();
        let http = HttpServer::new(move || {
            App::new()
                .wrap(Compress::default())
                .wrap(cors::middleware(&server.settings().cors))
                .wrap(from_fn(unread::end_with_answer))
                .configure(service(&server))
                .default_service(web::to(error::not_found))
        })
        .on_connect(move |connection, data| peers.admit(connection, data))
        .backlog(BACKLOG)
        .disable_signals()
        .shutdown_timeout(FINISH_S)
        .bind((host.as_str(), port))
        .map_err(failed)?;
        let address = http.addrs().first().copied();
        let address = address.ok_or_else(|| failed(io::Error::other("the host name has no address")))?;
        let running = http.run();
        Ok(Self { address, handle: running.handle(), running: rt::spawn(running) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until SIGINT or SIGTERM, then finishes what it took on.
    pub(crate) async fn until_stopped(mut self, server: &Server) {
        tokio::select! {
            () = signal() => {}
            _ = &mut self.running => tracing::error!("the listener ended by itself"),
        }
        tracing::info!("stopping");
        server.close_sockets();
        self.handle.stop(true).await;
        server.shutdown().await;
    }
}

/// Resolves at the first signal to stop.
#[cfg(unix)]
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "SIGTERM cannot be heard");
            interrupt().await;
        }
    }
}

#[cfg(not(unix))]
async fn signal() {
    interrupt().await;
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending().await
    }
}

/// Runs a future on the runtime that the server needs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}
