//! Observers: an app's own hooks, told of what the server does; none of them can do it any harm.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

/// Hears of what the server does. Every hook has an empty body by default.
///
/// Hooks run within the request: they should hand on what they hear and return. One that panics is logged and forgotten.
///
/// ```
/// struct Slow;
///
/// impl nizhal_runtime::Observer for Slow {
///     fn on_pull(&self, event: &nizhal_runtime::PullEvent<'_>) {
///         if event.duration.as_secs() > 1 {
///             println!("{} waited for {} rows", event.actor, event.rows);
///         }
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A pull was answered; a streamed one, to its last line.
    fn on_pull(&self, _event: &PullEvent<'_>) {}
    /// A push was answered, whatever became of its mutations.
    fn on_push(&self, _event: &PushEvent<'_>) {}
    /// Two writes of one column met, and one was kept.
    fn on_conflict(&self, _event: &ConflictEvent<'_>) {}
    /// A request was answered with an error.
    fn on_error(&self, _event: &ErrorEvent<'_>) {}
}

/// A pull that was answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PullEvent<'a> {
    /// The actor's key: a JSON array of tenant and user.
    pub actor: &'a str,
    /// The `deviceId`.
    pub device: Option<&'a str>,
    /// Live rows sent.
    pub rows: usize,
    /// Bytes of the body, before compression.
    pub bytes: usize,
    /// Whether the device starts again.
    pub reset: bool,
    /// Whether it was sent as lines.
    pub streamed: bool,
    /// From the request's last byte to the answer's first; of a stream, to its last.
    pub duration: Duration,
}

/// A push that was answered.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PushEvent<'a> {
    /// The actor's key.
    pub actor: &'a str,
    /// The mutations that were answered, in order.
    pub mutations: &'a [PushedMutation<'a>],
    /// Bytes of the request's body.
    pub bytes: usize,
    /// From the request's last byte to the answer.
    pub duration: Duration,
}

/// What became of one mutation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PushedMutation<'a> {
    /// The mutator's wire name, as the client wrote it.
    pub mutator: &'a str,
    /// The `clientMutationId`.
    pub client_mutation_id: &'a str,
    /// The `clientID`.
    pub device: Option<&'a str>,
    /// As wire 2 has it: `applied`, `duplicate`, `rejected`, `outOfOrder`, `forbidden` or `cancelled`.
    pub status: &'static str,
    /// The machine code, where it was not applied.
    pub code: Option<&'static str>,
}

impl<'a> PushedMutation<'a> {
    pub(crate) fn new(mutator: &'a str, client_mutation_id: &'a str, status: &'static str) -> Self {
        Self { mutator, client_mutation_id, device: None, status, code: None }
    }
}

/// Two writes of one column that met.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConflictEvent<'a> {
    /// The table.
    pub table: &'a str,
    /// The row's key as text.
    pub row: &'a str,
    /// The column.
    pub column: &'a str,
    /// The stamp of the write that stays.
    pub kept: &'a str,
    /// The stamp of the write that is lost.
    pub lost: &'a str,
}

impl<'a> ConflictEvent<'a> {
    /// A conflict that `kept` won over `lost`.
    pub fn new(table: &'a str, row: &'a str, column: &'a str, kept: &'a str, lost: &'a str) -> Self {
        Self { table, row, column, kept, lost }
    }
}

/// A request that was answered with an error.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ErrorEvent<'a> {
    /// The URL's pattern, such as `/sync/pull`.
    pub url: &'a str,
    /// The actor's key, once the token was verified.
    pub actor: Option<&'a str>,
    /// The status.
    pub status: u16,
    /// The machine code.
    pub code: &'static str,
}

/// All the observers of an app.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    /// Whether nobody listens, so that events need not be made.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells of a pull.
    pub fn pull(&self, event: &PullEvent<'_>) {
        self.notify("on_pull", |observer| observer.on_pull(event));
    }

    /// Tells of a push.
    pub fn push(&self, event: &PushEvent<'_>) {
        self.notify("on_push", |observer| observer.on_push(event));
    }

    /// Tells of a conflict.
    pub fn conflict(&self, event: &ConflictEvent<'_>) {
        self.notify("on_conflict", |observer| observer.on_conflict(event));
    }

    /// Tells of an error.
    pub fn error(&self, event: &ErrorEvent<'_>) {
        self.notify("on_error", |observer| observer.on_error(event));
    }

    fn notify(&self, hook: &'static str, call: impl Fn(&dyn Observer)) {
        for observer in self.0.iter() {
            // What a hook leaves half done is its own.
            if catch_unwind(AssertUnwindSafe(|| call(observer.as_ref()))).is_err() {
                tracing::error!(hook, "an observer panicked; the request goes on");
            }
        }
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observers").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Observer for Recorder {
        fn on_conflict(&self, event: &ConflictEvent<'_>) {
            let ConflictEvent { table, row, column, kept, lost } = event;
            self.0.lock().unwrap().push(format!("{table} {row} {column} {kept} {lost}"));
        }
    }

    struct Clumsy;

    impl Observer for Clumsy {
        fn on_conflict(&self, _: &ConflictEvent<'_>) {
            panic!("an observer's own fault");
        }
    }

    #[test]
    fn one_that_panics_keeps_nobody_from_hearing() {
        let recorder = Recorder::default();
        let list = recorder.0.clone();
        let observers = Observers::new(vec![Arc::new(Clumsy), Arc::new(recorder)]);
        observers.conflict(&ConflictEvent::new("notes", "n1", "text", "2", "1"));
        assert_eq!(*list.lock().unwrap(), ["notes n1 text 2 1"]);
        assert!(Observers::default().is_empty() && !observers.is_empty());
    }
}
