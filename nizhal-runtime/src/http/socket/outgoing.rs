//! What a socket was sent and its reader has not taken: counted to its actor until it is on its way.

use crate::share::{Share, Shares};
use actix_web::{
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

/// The bytes of one socket that wait for its reader; cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::http) struct Outgoing {
    shares: Shares,
    actor: Arc<str>,
    share: Arc<Mutex<Share>>,
}

impl Outgoing {
    /// Nothing waits yet.
    pub(in crate::http) fn new(shares: &Shares, actor: &str) -> Self {
        Self { shares: shares.clone(), actor: actor.into(), share: Arc::new(Mutex::new(shares.nothing(actor))) }
    }

    /// Waits until there is room for so many bytes more.
    pub(super) async fn room_for(&self, bytes: usize) {
        let mut more = self.shares.nothing(&self.actor);
        more.grow(bytes as u64).await;
        self.share().merge(more);
    }

    /// The socket's body, which knows when bytes are on their way.
    pub(in crate::http) fn count(&self, body: BoxBody) -> OutgoingBody {
        OutgoingBody { body, outgoing: self.clone(), handed_on: 0 }
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket's frames, on their way out.
pub(in crate::http) struct OutgoingBody {
    body: BoxBody,
    outgoing: Outgoing,
    /// The bytes that were handed on last. Who asks for more has room, so they are gone.
    handed_on: u64,
}

impl MessageBody for OutgoingBody {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let gone = std::mem::take(&mut self.handed_on);
        self.outgoing.share().shrink(gone);
        let next = Pin::new(&mut self.body).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &next {
            self.handed_on = bytes.len() as u64;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::ShareLimits;
    use actix_web::body::BodyStream;
    use futures_util::{FutureExt, future::poll_fn, stream};

    #[actix_web::test]
    async fn inv28_what_a_socket_was_sent_is_counted_until_it_is_on_its_way() {
        let shares = Shares::new(ShareLimits { per_actor: 100, all: 1_000 });
        let outgoing = Outgoing::new(&shares, "ana");
        outgoing.room_for(80).await;
        assert!(outgoing.room_for(80).now_or_never().is_none(), "the reader has to take something first");
        let frames = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; 80])), Ok(Bytes::from(vec![0; 2]))]);
        let mut body = outgoing.count(BodyStream::new(frames).boxed());
        let mut next = async || poll_fn(|context| Pin::new(&mut body).poll_next(context)).await.unwrap().unwrap().len();
        assert_eq!((next().await, shares.taken()), (80, 80));
        assert_eq!((next().await, shares.taken()), (2, 0));
        outgoing.room_for(80).now_or_never().unwrap();
        drop(body);
        drop(outgoing);
        assert_eq!(shares.taken(), 0);
    }
}
