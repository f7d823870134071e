//! The seal of a transaction's write set: a write set without it was cleared, and is not taken for an empty one.
//!
//! The write set is a setting on Postgres and a table on SQLite, and app code can clear both: by `RESET ALL`, or by `delete`. So a line
//! that nobody can guess stands first in it, from the beginning of a transaction on, and what is read without that line is refused.
//!
//! Decision: book/src/decisions/write-scope.md#a-write-set-has-a-seal

use super::StoreError;

/// Begins the line of a seal; no rule's name begins so.
pub(super) const SEAL: char = '$';
/// Says that what came later is elsewhere, and so that [`WHOLE`] must be there.
pub(super) const SPILLED: &str = "~";
/// Says that what is elsewhere was read, and nothing of it was missing.
pub(super) const WHOLE: &str = "=";

/// What a device hears of a mutator that cleared its write set.
const CLEARED: &str =
    "the mutation's write set is gone: a mutator may not reset its session's settings, nor write those of nizhal";

/// What names the write set of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSetSeal(String);

impl WriteSetSeal {
    /// One that was never used before.
    pub fn draw() -> Self {
        Self(format!("{SEAL}{}", uuid::Uuid::new_v4().simple()))
    }

    /// Its line.
    pub(super) fn line(&self) -> &str {
        &self.0
    }

    /// Holds a write set to its seal.
    ///
    /// # Errors
    /// [`StoreError::Unsealed`] when it was cleared, in part or as a whole.
    pub(super) fn check(&self, write_set: &str) -> Result<(), StoreError> {
        let has = |line: &str| write_set.lines().any(|other| other == line);
        if has(&self.0) && has(SPILLED) == has(WHOLE) { Ok(()) } else { Err(StoreError::Unsealed(CLEARED)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv18_what_was_cleared_is_not_empty() {
        let (seal, other) = (WriteSetSeal::draw(), WriteSetSeal::draw());
        let write_set = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let line = "r+t:[\"x\"]";
        for whole in [&[seal.line()][..], &[seal.line(), line], &[seal.line(), line, SPILLED, line, WHOLE]] {
            assert!(seal.check(&write_set(whole)).is_ok(), "{whole:?}");
        }
        for cleared in [&[][..], &[line], &[other.line(), line], &[seal.line(), line, SPILLED]] {
            assert!(seal.check(&write_set(cleared)).is_err(), "{cleared:?}");
        }
    }
}
