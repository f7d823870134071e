//! Peers: how many connections each has, and what becomes of those that are too many or stuck.

use actix_web::{dev::Extensions, rt::net::TcpStream};
use socket2::SockRef;
use std::{
    collections::HashMap,
    net::{IpAddr, Shutdown},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a peer may take nothing of what is sent before its connection is dropped. Longer than a streamed pull waits for its
/// reader; without it who never reads would hold a connection for ever.
const STUCK_TIME: Duration = Duration::from_secs(90);

/// The open connections by the address that they came from.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    most: Option<NonZeroU32>,
    open: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// One connection's place among its peer's, until it is dropped.
struct PeerPermit {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// No connection yet, and at most so many from one address.
    pub(super) fn new(most: Option<NonZeroU32>) -> Self {
        Self { most, open: Arc::default() }
    }

    /// Takes a new connection in, or ends it before anything is read from it; its permit lives as long as its data.
    pub(super) fn admit(&self, connection: &TcpStream, data: &mut Extensions) {
        let socket = SockRef::from(connection);
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // Where it cannot be had, there is nothing else to do about it.
        let _ = socket.set_tcp_user_timeout(Some(STUCK_TIME));
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = STUCK_TIME;
        let Ok(peer) = connection.peer_addr() else { return };
        match self.permit(peer.ip()) {
            Some(permit) => drop(data.insert(permit)),
            None => {
                tracing::debug!(peer = %peer.ip(), "a connection too many was closed (NIZHAL_MAX_CONNECTIONS_PER_PEER)");
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }

    fn permit(&self, address: IpAddr) -> Option<PeerPermit> {
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if self.most.is_some_and(|most| *count >= most.get()) {
            return None;
        }
        *count += 1;
        Some(PeerPermit { peers: self.clone(), address })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPermit {
    fn drop(&mut self) {
        let mut open = self.peers.open();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv28_a_peer_has_so_many_connections_and_no_more() {
        let peers = Peers::new(NonZeroU32::new(2));
        let (one, other): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let permits = [peers.permit(one).unwrap(), peers.permit(one).unwrap()];
        assert!(peers.permit(one).is_none());
        let elsewhere = peers.permit(other).unwrap();
        drop(permits);
        assert!(peers.permit(one).is_some());
        drop(elsewhere);
        assert!(peers.open().is_empty(), "who is gone takes no memory");
        let unlimited = Peers::new(None);
        let all: Vec<_> = (0..100).map(|_| unlimited.permit(one).unwrap()).collect();
        assert_eq!(unlimited.open()[&one], all.len() as u32);
    }
}
