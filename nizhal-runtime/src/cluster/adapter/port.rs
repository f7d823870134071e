//! What an adapter is: it hears, and perhaps tells.

use super::AdapterError;
use crate::store::Heard;
use futures_util::future::BoxFuture;

/// A way to hear, and perhaps to tell other servers.
pub(crate) trait Adapter: Send + Sync + 'static {
    /// What stats call it.
    fn name(&self) -> &'static str;

    /// The most bytes of one message; `None` when there are no others to tell.
    fn max_message_bytes(&self) -> Option<usize>;

    /// Begins to hear: all that is told from then on.
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Receiver>, AdapterError>>;

    /// Tells the others, in order.
    fn publish<'a>(&'a self, messages: &'a [String]) -> BoxFuture<'a, Result<(), AdapterError>>;

    /// Whether something that was told may be lost with a connection.
    fn forgets(&self) -> bool {
        false
    }
}

/// What hears. An error means that something may have been missed: open another.
pub(crate) trait Receiver: Send {
    /// The next that is heard.
    fn next(&mut self) -> BoxFuture<'_, Result<Heard, AdapterError>>;
}
