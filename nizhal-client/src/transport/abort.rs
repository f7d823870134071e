//! Requests that can be given up, at their waits for the network and nowhere else: what the store is doing is done to its end.

use super::{BlobRequest, Body, Frames, Request, Response, Transport};
use crate::session::{Failure, FailureKind};
use nizhal_core::__private::BoxFuture;
use std::sync::Arc;
use tokio::sync::watch;

/// Turns true when the request is given up.
pub(crate) type Given = watch::Receiver<bool>;

/// A transport whose waits end when it is told so.
pub(crate) struct Abortable {
    pub(crate) inner: Arc<dyn Transport>,
    pub(crate) given: Given,
}

/// Waits, unless given up.
pub(crate) async fn unless<T>(given: &Given, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut given = given.clone();
    tokio::select! {
        _ = given.wait_for(|given| *given) => Err(Failure::new(FailureKind::Aborted, "aborted", "given up")),
        done = work => done,
    }
}

impl Abortable {
    async fn whole(&self, sending: impl Future<Output = Result<Response, Failure>>) -> Result<Response, Failure> {
        let response = unless(&self.given, sending).await?;
        let body = Box::new(AbortableBody { inner: response.body, given: self.given.clone() });
        Ok(Response { body, ..response })
    }
}

impl Transport for Abortable {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(self.whole(self.inner.send(request)))
    }

    fn send_blob(&self, request: BlobRequest) -> BoxFuture<'_, Result<Response, Failure>> {
        Box::pin(self.whole(self.inner.send_blob(request)))
    }

    fn fetch<'a>(&'a self, url: &'a str, from: u64) -> BoxFuture<'a, Result<Response, Failure>> {
        Box::pin(async move {
            let response = unless(&self.given, self.inner.fetch(url, from)).await?;
            let body = Box::new(AbortableBody { inner: response.body, given: self.given.clone() });
            Ok(Response { body, ..response })
        })
    }

    fn open<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Box<dyn Frames>, Failure>> {
        Box::pin(unless(&self.given, self.inner.open(token)))
    }
}

struct AbortableBody {
    inner: Box<dyn Body>,
    given: Given,
}

impl Body for AbortableBody {
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, Failure>> {
        Box::pin(unless(&self.given, self.inner.chunk()))
    }
}
