//! Our own listener: the routes alone, compressed, with CORS, until a signal stops it.

use super::{cors, error, paced::Paced, peer::Peers, service, unread};
use crate::http::Server;
use actix_http::{HttpService, Protocol, error::DispatchError};
use actix_server::{ServerBuilder, ServerHandle};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::{
    App,
    body::MessageBody,
    dev::{AppConfig, ServiceRequest, ServiceResponse},
    middleware::{Compress, from_fn},
    rt::{self, net::TcpStream, task::JoinHandle},
    web,
};
use socket2::{Domain, Socket, Type};
use std::{
    future::ready,
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

/// How long requests in flight may take to finish, in seconds.
const FINISH_S: u64 = 30;
/// How many connections may wait to be taken: after a cut all devices come back at once. The system may allow fewer.
const BACKLOG: i32 = 8192;
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
        let listeners = listeners(&host, port).map_err(failed)?;
        let address = listeners.first().and_then(|listener| listener.local_addr().ok());
        let address = address.ok_or_else(|| failed(io::Error::other("the host name has no address")))?;
        let peers = Peers::new(settings.connections.max_per_peer);
        let mut http = ServerBuilder::new().disable_signals().shutdown_timeout(FINISH_S);
        for listener in listeners {
            http = serve(http, server, &peers, listener).map_err(failed)?;
        }
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

/// A listener for each address of the host name.
fn listeners(host: &str, port: u16) -> io::Result<Vec<TcpListener>> {
    let listen = |address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restarted server takes the port over from connections that are still closing.
        #[cfg(not(windows))]
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(TcpListener::from(socket))
    };
    let (listening, failed): (Vec<_>, Vec<_>) = (host, port).to_socket_addrs()?.map(listen).partition(Result::is_ok);
    match failed.into_iter().next() {
        Some(Err(error)) if listening.is_empty() => Err(error),
        _ => listening.into_iter().collect(),
    }
}

/// As actix-web's own server does it, but for the connections: each must take what it is sent at its pace.
fn serve(http: ServerBuilder, server: &Server, peers: &Peers, listener: TcpListener) -> io::Result<ServerBuilder> {
    let (address, stopping) = (listener.local_addr()?, http.graceful_shutdown_signal());
    let (server, peers) = (server.clone(), peers.clone());
    http.listen(format!("nizhal-{address}"), listener, move || {
        let (stopping, peers, connected) = (stopping.clone(), peers.clone(), server.clone());
        let app = app(&server).into_factory().map_err(|error| error.error_response());
        let service = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .local_addr(address)
            .on_connect_ext(move |connection: &Paced, data| peers.admit(connection.stream(), data))
            .finish(map_config(app, |()| AppConfig::default()));
        let pace = connected.send_pace();
        fn_service(move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let paced = Paced::new(stream, pace, connected.stopping());
            ready(Ok::<_, DispatchError>((paced, Protocol::Http1, peer)))
        })
        .and_then(service)
    })
}

/// What each thread serves.
fn app(
    server: &Server,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    App::new()
        .wrap(Compress::default())
        .wrap(cors::middleware(&server.settings().cors))
        .wrap(from_fn(unread::end_with_answer))
        .configure(service(server))
        .default_service(web::to(error::not_found))
}

/// Runs a future on the runtime that the server needs.
pub fn block_on<F: Future>(future: F) -> F::Output {
    actix_web::rt::System::new().block_on(future)
}
