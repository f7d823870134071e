//! Where a simulator cuts the power: between any two statements.

use super::{SqliteStore, StoreError};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many statements may still run.
#[derive(Debug)]
pub(super) struct Fuse(AtomicU64);

impl Default for Fuse {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

impl Fuse {
    /// Before a statement.
    ///
    /// # Errors
    /// When none may run any more.
    pub(super) fn burn(&self) -> Result<(), StoreError> {
        let left = self.0.load(Relaxed);
        if left == 0 {
            return Err(std::io::Error::other("the power was cut").into());
        }
        if left != u64::MAX {
            self.0.store(left - 1, Relaxed);
        }
        Ok(())
    }
}

impl SqliteStore {
    /// Lets so many more statements run and fails all others, as if the device lost power: drop the store then, and open it anew.
    #[doc(hidden)]
    pub fn cut_power_after(&self, statements: u64) {
        self.fuse.0.store(statements, Relaxed);
    }

    /// Whether the power is cut.
    #[doc(hidden)]
    pub fn is_cut(&self) -> bool {
        self.fuse.0.load(Relaxed) == 0
    }
}
