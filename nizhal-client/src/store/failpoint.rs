//! Where tests and simulators have the store fail: between any two statements, or at one of them.

use super::{SqliteStore, StoreError};
use sqlx::error::{DatabaseError, ErrorKind};
use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// An error that SQLite may return from any statement, COMMIT, ROLLBACK, SAVEPOINT and RELEASE among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(hidden)]
pub enum SqliteFault {
    /// The disk is full.
    Full,
    /// The disk fails.
    IoErr,
    /// Memory is short.
    NoMem,
    /// The statement was interrupted.
    Interrupt,
    /// Another connection has the lock.
    Busy,
    /// A trigger says `raise(rollback, …)`.
    RaiseRollback,
    /// A constraint is broken by a statement that says `or rollback`.
    OrRollback,
}

impl SqliteFault {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Full, Self::IoErr, Self::NoMem, Self::Interrupt, Self::Busy, Self::RaiseRollback, Self::OrRollback];

    /// SQL that has SQLite roll back the whole transaction by itself: for the last two it is what fails.
    pub(super) fn rolls_back(self) -> &'static str {
        match self {
            Self::RaiseRollback => {
                "create temp table _nizhal_fault (x); create temp trigger _nizhal_raise before insert on _nizhal_fault \
                 begin select raise(rollback, 'a trigger rolls back'); end; insert into _nizhal_fault values (1)"
            }
            Self::OrRollback => {
                "insert or rollback into _nizhal_meta (one, format, user, client_id, node) values (2, 0, '', '', '')"
            }
            Self::Full | Self::IoErr | Self::NoMem | Self::Interrupt | Self::Busy => "rollback",
        }
    }

    fn primary_code(self) -> &'static str {
        match self {
            Self::Busy => "5",
            Self::NoMem => "7",
            Self::Interrupt => "9",
            Self::IoErr => "10",
            Self::Full => "13",
            Self::RaiseRollback | Self::OrRollback => "19",
        }
    }
}

impl fmt::Display for SqliteFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(code: {}) an injected fault: {self:?}", self.primary_code())
    }
}

impl StdError for SqliteFault {}

impl DatabaseError for SqliteFault {
    fn message(&self) -> &str {
        "an injected fault"
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        Some(self.primary_code().into())
    }
    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }
    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }
    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }
    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

/// What is to go wrong at a statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failpoint {
    pub(super) fault: SqliteFault,
    /// Whether SQLite rolls the transaction back by itself.
    pub(super) rolls_back: bool,
}

/// What is to go wrong, and when.
#[derive(Debug)]
pub(super) struct Failpoints {
    /// How many statements may still run before the power goes.
    power: AtomicU64,
    /// How many statements ran.
    statements: AtomicU64,
    /// How many of them failed as was asked for.
    faults: AtomicU64,
    next: Mutex<Option<(u64, Failpoint)>>,
}

impl Default for Failpoints {
    fn default() -> Self {
        Self {
            power: AtomicU64::new(u64::MAX),
            statements: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            next: Mutex::default(),
        }
    }
}

impl Failpoints {
    /// Before a statement outside of a transaction.
    ///
    /// # Errors
    /// When it is to fail.
    pub(super) fn fail(&self) -> Result<(), StoreError> {
        match self.pass()? {
            Some(Failpoint { fault, .. }) => Err(sqlx::Error::from(fault).into()),
            None => Ok(()),
        }
    }

    /// Before a statement: what it is to fail with.
    ///
    /// # Errors
    /// When the power was cut.
    pub(super) fn pass(&self) -> Result<Option<Failpoint>, StoreError> {
        let left = self.power.load(Relaxed);
        if left == 0 {
            return Err(std::io::Error::other("the power was cut").into());
        }
        if left != u64::MAX {
            self.power.store(left - 1, Relaxed);
        }
        self.statements.fetch_add(1, Relaxed);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *next {
            Some((0, _)) => {
                self.faults.fetch_add(1, Relaxed);
                Ok(next.take().map(|(_, failpoint)| failpoint))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }
}

#[doc(hidden)]
impl SqliteStore {
    /// Lets so many more statements run and fails all others, as if the device lost power: drop the store then, and open it anew.
    pub fn cut_power_after(&self, statements: u64) {
        self.failpoints.power.store(statements, Relaxed);
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.failpoints.power.load(Relaxed) == 0
    }

    /// Fails one statement, after so many more, with this error; `rolls_back`: SQLite rolls the transaction back by itself.
    pub fn fail_after(&self, statements: u64, fault: SqliteFault, rolls_back: bool) {
        let failpoint = Failpoint { fault, rolls_back };
        *self.failpoints.next.lock().unwrap_or_else(PoisonError::into_inner) = Some((statements, failpoint));
    }

    /// Takes back what [`fail_after`](Self::fail_after) asked for; whether it had not happened yet.
    pub fn spare(&self) -> bool {
        self.failpoints.next.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    /// How many statements failed as [`fail_after`](Self::fail_after) asked for.
    pub fn faults(&self) -> u64 {
        self.failpoints.faults.load(Relaxed)
    }

    /// How many statements ran since the store was opened, BEGIN, COMMIT and savepoints among them; what mutators run is not
    /// counted.
    pub fn statements(&self) -> u64 {
        self.failpoints.statements.load(Relaxed)
    }

    /// Has SQLite itself interrupt whatever it is doing after about so many of its instructions, a mutator's statements among them.
    pub fn interrupt_after(&self, instructions: u64) {
        self.guard.interrupt_after(instructions);
    }

    /// How many instructions are left until then; 0 when it happened.
    pub fn instructions_left(&self) -> u64 {
        self.guard.instructions_left()
    }
}
