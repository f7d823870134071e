//! Failpoints: where tests let a statement of the store fail, after SQLite rolled back by itself or not. In other builds there are none.

#[cfg(not(test))]
pub(crate) use off::Failpoints;
#[cfg(test)]
pub(crate) use on::{Failpoints, Injected};

#[cfg(not(test))]
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

#[cfg(test)]
mod on {
    use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr, RuntimeErr};
    use sqlx::error::{DatabaseError, ErrorKind};
    use std::{
        borrow::Cow,
        fmt,
        sync::{Arc, Mutex},
    };

    /// An error as SQLite gives it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Injected {
        pub(crate) name: &'static str,
        /// The extended result code.
        pub(crate) code: &'static str,
        /// Whether SQLite rolled the whole transaction back before.
        pub(crate) rolls_back: bool,
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

    impl From<Injected> for DbErr {
        fn from(error: Injected) -> Self {
            Self::Exec(RuntimeErr::SqlxError(Arc::new(sqlx::Error::Database(Box::new(error)))))
        }
    }

    /// How many statements are left before one fails, and how.
    #[derive(Debug, Default)]
    pub(crate) struct Failpoints(Mutex<Option<(usize, Injected)>>);

    impl Failpoints {
        /// Lets the statement behind so many others fail, once.
        pub(crate) fn arm(&self, after: usize, error: Injected) {
            *self.0.lock().unwrap() = Some((after, error));
        }

        /// Whether the failure has not come yet; none comes any more.
        pub(crate) fn disarm(&self) -> bool {
            self.0.lock().unwrap().take().is_some()
        }

        /// Before a statement.
        pub(crate) async fn before(&self, tx: Option<&DatabaseTransaction>) -> Result<(), DbErr> {
            let error = {
                let mut armed = self.0.lock().unwrap();
                match armed.take() {
                    None => return Ok(()),
                    Some((0, error)) => error,
                    Some((left, error)) => {
                        *armed = Some((left - 1, error));
                        return Ok(());
                    }
                }
            };
            if let Some(tx) = tx.filter(|_| error.rolls_back) {
                tx.execute_unprepared("rollback").await.unwrap();
            }
            Err(error.into())
        }
    }
}
