//! A bad network: a proxy in front of the server that cuts connections, at any byte of the way there or back.

use crate::Address;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the network is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// Everything passes.
    #[default]
    Fair,
    /// Each connection is cut after fewer than this many bytes, in the direction that has them first.
    Cuts(u64),
    /// Nothing passes.
    Down,
}

/// The proxy; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: Address,
    weather: watch::Sender<Weather>,
    cuts: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// A proxy in front of this server, also where it listens after a restart; `seed` decides where it cuts.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn start(server: &Address, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let weather = watch::Sender::new(Weather::Fair);
        let cuts = Arc::new(AtomicU64::new(0));
        let (server, told, counted) = (server.clone(), weather.subscribe(), cuts.clone());
        let task = tokio::spawn(async move {
            let dice = Arc::new(Mutex::new(seed | 1));
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), told.clone(), dice.clone(), counted.clone()));
            }
        });
        Self { address: Address::fixed(format!("http://127.0.0.1:{port}")), weather, cuts, task }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Changes the weather; connections of before are cut.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// How many connections it cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    client: TcpStream,
    server: Address,
    mut weather: watch::Receiver<Weather>,
    dice: Arc<Mutex<u64>>,
    cuts: Arc<AtomicU64>,
) {
    let now = *weather.borrow_and_update();
    let (there, back) = match now {
        Weather::Fair => (u64::MAX, u64::MAX),
        Weather::Cuts(limit) => (roll(&dice, limit), roll(&dice, limit)),
        Weather::Down => {
            cuts.fetch_add(1, Ordering::Relaxed);
            return;
        }
    };
    let Ok(upstream) = TcpStream::connect(server.host()).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let cut = tokio::select! {
        cut = pass(&mut from_client, &mut to_server, there) => cut,
        cut = pass(&mut from_server, &mut to_client, back) => cut,
        _ = weather.changed() => true,
    };
    if cut {
        cuts.fetch_add(1, Ordering::Relaxed);
    }
}

/// Passes bytes on until one side ends; true when it was us who ended it.
async fn pass(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    most: u64,
) -> bool {
    let (mut left, mut buffer) = (most, vec![0; 16 << 10]);
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return false };
        let passed = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        if to.write_all(&buffer[..passed]).await.is_err() {
            return false;
        }
        left -= passed as u64;
        if left == 0 {
            return true;
        }
    }
}

fn roll(dice: &Mutex<u64>, sides: u64) -> u64 {
    let mut state = dice.lock().unwrap_or_else(PoisonError::into_inner);
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % sides.max(1)
}
