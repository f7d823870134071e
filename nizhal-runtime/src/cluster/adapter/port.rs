//! The port of an adapter: it receives, and perhaps publishes.

use super::AdapterError;
use crate::store::Notification;
use futures_util::future::BoxFuture;

/// A way to receive from other servers, and perhaps to publish to them.
pub(crate) trait Adapter: Send + Sync + 'static {
    /// Its name in the stats.
    fn name(&self) -> &'static str;

    /// The most bytes of one message; `None` when there are no others to publish to.
    fn max_message_bytes(&self) -> Option<usize>;

    /// Opens a receiver of all that is published from then on.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Receiver>, AdapterError>>;

    /// Publishes to the others, in order.
    fn publish<'a>(&'a self, messages: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Whether something that was published may be lost with a connection.
    fn forgets(&self) -> bool {
        false
    }
}

/// The receiving half. An error means that something may have been missed: open another.
pub(crate) trait Receiver: Send {
    /// The next notification.
    fn next(&mut self) -> BoxFuture<'_, Result<Notification, AdapterError>>;
}
