//! A forwarder before a database that forgets its connections without a word, as firewalls and address translators do.

use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The forwarder; gone when dropped.
#[derive(Debug)]
pub struct Forwarder {
    port: u16,
    forgotten: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Forwarder {
    /// A forwarder before the database of this URL.
    ///
    /// # Panics
    /// When no port is free, or the URL has none.
    pub async fn start(database_url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let upstream = port_of(database_url);
        let forgotten = watch::Sender::new(0);
        let told = forgotten.subscribe();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, upstream, told.clone()));
            }
        });
        Self { port, forgotten, task }
    }

    /// The URL of the same database by way of this forwarder.
    pub fn before(&self, database_url: &str) -> String {
        with_port(database_url, self.port)
    }

    /// Forgets the connections of now: both ends stay open, and nothing passes any more. New ones pass.
    pub fn forget(&self) {
        self.forgotten.send_modify(|times| *times += 1);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The port that a database's URL names.
pub(crate) fn port_of(database_url: &str) -> u16 {
    let (_, rest) = database_url.rsplit_once(':').expect("a URL with a port");
    let (port, _) = rest.split_once('/').expect("a URL with a database");
    port.parse().expect("a port is a number")
}

/// The same URL with another port.
pub(crate) fn with_port(database_url: &str, port: u16) -> String {
    let (front, _) = database_url.rsplit_once(':').expect("a URL with a port");
    let (_, database) = database_url.rsplit_once('/').expect("a URL with a database");
    format!("{front}:{port}/{database}")
}

async fn carry(client: TcpStream, upstream: u16, mut forgotten: watch::Receiver<u64>) {
    forgotten.borrow_and_update();
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => return,
        _ = tokio::io::copy(&mut from_server, &mut to_client) => return,
        changed = forgotten.changed() => if changed.is_err() { return },
    }
    // What is sent is taken, and goes nowhere; the other end hears nothing, not even that this one is gone.
    let mut swallowed = vec![0; 16 << 10];
    while matches!(from_client.read(&mut swallowed).await, Ok(1..)) {}
    std::future::pending::<()>().await;
}
