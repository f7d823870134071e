//! Failpoints: where tests and simulators let a statement of the store fail on SQLite, which rolled back by itself or not, or has a
//! connection end or fall silent. They are the feature `failpoints`; in other builds there are none.

#[cfg(not(any(test, feature = "failpoints")))]
pub(crate) use off::Failpoints;
#[cfg(any(test, feature = "failpoints"))]
pub use on::{Failpoints, Injected, StatementFault};

#[cfg(not(any(test, feature = "failpoints")))]
mod off {
    use sea_orm::{DatabaseTransaction, DbErr};

    /// No failpoints.
    #[derive(Debug, Default)]
    pub(crate) struct Failpoints(());

    impl Failpoints {
        #[expect(clippy::unused_async, reason = "tests wait here")]
        pub(crate) async fn before(&self, _: Option<&DatabaseTransaction>) -> Result<(), DbErr> {
            Ok(())
        }
    }
}

#[cfg(any(test, feature = "failpoints"))]
mod on {
    use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr};
    use sqlx::error::{DatabaseError, ErrorKind};
    use std::{
        borrow::Cow,
        fmt, io,
        sync::{
            Arc, Mutex, PoisonError,
            atomic::{AtomicU64, Ordering::Relaxed},
        },
    };
    use tokio::sync::Notify;

    /// An error as SQLite gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Injected {
        /// What it is called.
        pub name: &'static str,
        /// The extended result code.
        pub code: &'static str,
        /// Whether SQLite rolled the whole transaction back before.
        pub rolls_back: bool,
    }

    impl Injected {
        /// One of each kind that SQLite gives at any statement, COMMIT, ROLLBACK, SAVEPOINT and RELEASE among them.
        pub const ALL: [Self; 9] = [
            Self { name: "full", code: "13", rolls_back: true },
            Self { name: "full, kept", code: "13", rolls_back: false },
            Self { name: "ioerr", code: "778", rolls_back: true },
            Self { name: "ioerr, kept", code: "778", rolls_back: false },
            Self { name: "nomem", code: "7", rolls_back: true },
            Self { name: "interrupt", code: "9", rolls_back: true },
            Self { name: "busy", code: "5", rolls_back: false },
            Self { name: "raise(rollback)", code: "1811", rolls_back: true },
            Self { name: "insert or rollback", code: "1555", rolls_back: true },
        ];
    }

    impl fmt::Display for Injected {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "(code: {}) {}", self.code, self.name)
        }
    }

    impl std::error::Error for Injected {}

    impl DatabaseError for Injected {
        fn message(&self) -> &str {
            self.name
        }
        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.code.into())
        }
        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }
        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }
        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

    /// What happens at a statement in its place.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum StatementFault {
        /// The database gives an error.
        Error(Injected),
        /// The connection ends, and what was open on it is rolled back.
        Ended,
        /// The connection falls silent: the statement waits until its request is given up.
        Silent,
    }

    impl From<Injected> for StatementFault {
        fn from(error: Injected) -> Self {
            Self::Error(error)
        }
    }

    impl StatementFault {
        fn rolls_back(self) -> bool {
            match self {
                Self::Error(error) => error.rolls_back,
                Self::Ended => true,
                Self::Silent => false,
            }
        }

        fn error(self) -> DbErr {
            let cause = match self {
                Self::Error(error) => sqlx::Error::Database(Box::new(error)),
                Self::Ended | Self::Silent => sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()),
            };
            DbErr::Exec(RuntimeErr::SqlxError(Arc::new(cause)))
        }
    }

    /// How many statements are left before one fails, and how.
    #[derive(Debug, Default)]
    pub struct Failpoints {
        armed: Mutex<Option<(usize, StatementFault)>>,
        reached: AtomicU64,
        silence: Notify,
    }

    impl Failpoints {
        /// Lets the statement behind so many others fail, once.
        pub fn arm(&self, after: usize, fault: impl Into<StatementFault>) {
            *self.armed.lock().unwrap_or_else(PoisonError::into_inner) = Some((after, fault.into()));
        }

        /// Takes back what was armed; returns whether it had not happened yet.
        pub fn disarm(&self) -> bool {
            self.armed.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
        }

        /// Whether a statement is to fail that did not yet.
        pub(crate) fn is_armed(&self) -> bool {
            self.armed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
        }

        /// The number of statements that failed so far.
        pub fn reached(&self) -> u64 {
            self.reached.load(Relaxed)
        }

        /// Waits for a statement that falls silent; whoever sent it is to be given up then.
        pub async fn silence(&self) {
            self.silence.notified().await;
        }

        /// Before a statement.
        pub(crate) async fn before(&self, tx: Option<&DatabaseTransaction>) -> Result<(), DbErr> {
            let fault = {
                let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
                match armed.take() {
                    None => return Ok(()),
                    Some((0, fault)) => fault,
                    Some((left, fault)) => {
                        *armed = Some((left - 1, fault));
                        return Ok(());
                    }
                }
            };
            self.reached.fetch_add(1, Relaxed);
            if let Some(tx) = tx.filter(|_| fault.rolls_back()) {
                tx.execute_unprepared("rollback").await?;
            }
            if fault == StatementFault::Silent {
                self.silence.notify_one();
                return std::future::pending().await;
            }
            Err(fault.error())
        }
    }
}
