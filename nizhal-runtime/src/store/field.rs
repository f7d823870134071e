//! Tables that merge column by column (`merge = "field"`).
//!
//! Each row keeps in [`META`] the stamp of its columns: under [`BASE`] that of its insert, where a device made it, and under a
//! column's name that of its last change where that is another. A mutation that carries its device's stamp changes a column only when that stamp is
//! not older than the column's; the others keep what they have, and the loss is noted as a [`Conflict`]. `deleted_at` is a
//! column like the others, so a soft delete that was made later than another write stands.
//!
//! A writer without a stamp (an older device, a job, psql) saw what it replaces: its change of a column that a device has stamped
//! stands, and is stamped with the database's time, or with the column's own stamp where that is ahead. A column that no device
//! has stamped yet stays without one, and yields to the first device's, however slow its clock: no write of a device is older.
//!
//! A hard delete leaves its stamp in `_nizhal_deletes`. An insert that was made before it arrives as a row that is softly
//! deleted already: the mutator goes on, and the delete does not rise again.
//!
//! A server whose clock was far ahead for a moment let stamps in that no device can reach for as long. A stored stamp that is more than
//! a minute ahead of the database's clock counts as one of a minute ago, and is reported ([`AheadStamp`]).
//!
//! A column is written when its value changes: setting what is there already leaves its stamp.
//!
//! Decision: book/src/decisions/columns.md#columns-merge-in-the-databases-triggers

use super::{StoreError, sql::DELETED_AT};
use nizhal_core::{ColumnIndex, HlcClock, Merge, TableDesc};

/// The column of the stamps, a JSON object.
pub(crate) const META: &str = "_meta";
/// The key in it for every column that has none of its own.
pub(crate) const BASE: &str = "*";
/// Begins the note's line of a conflict; no rule's name does.
pub(crate) const SIGN: char = '!';
/// The end of the stamp of a writer that has none, behind the time: it loses against a device of the same millisecond.
pub(crate) const NOBODY: &str = "-0000-00000000000000000000000000000000";

/// One column that a late write did not get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The table.
    pub table: String,
    /// The row's key as text.
    pub id: String,
    /// The column that kept its value.
    pub column: String,
    /// The stamp of the value that was kept.
    pub kept: String,
    /// The stamp of the value that was not taken.
    pub lost: String,
}

/// A stored stamp that no clock has reached yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AheadStamp {
    /// The table.
    pub table: String,
    /// The row's key as text.
    pub id: String,
    /// The column.
    pub column: String,
    /// The stamp.
    pub stamp: String,
}

/// The report of a row's merge, in a line of the write set that begins with [`SIGN`].
#[derive(Debug)]
pub(crate) enum MergeReport {
    /// A column was not written.
    Conflict(Conflict),
    /// A stamp was passed over.
    Ahead(AheadStamp),
}

/// How far a stored stamp may be ahead of the database's clock, in seconds; and how old it counts as where it is further ahead, so that
/// what a device writes now stands.
pub(crate) const MAX_AHEAD_S: i64 = HlcClock::MAX_AHEAD_MS / 1_000;

/// Whether the table merges column by column.
pub(crate) fn merges(table: &TableDesc) -> bool {
    table.merge == Merge::Field
}

/// The columns that merge so: all but the key, what the database generates, and the documents, which merge by themselves; and
/// `deleted_at`.
pub(crate) fn columns(table: &TableDesc) -> Vec<&'static str> {
    let declared = table.columns.iter().enumerate().filter(|(index, column)| {
        !table.key.contains(&ColumnIndex::new(*index)) && column.crdt.is_none() && column.generated.is_none()
    });
    let mut names: Vec<&'static str> = declared.map(|(_, column)| column.name).collect();
    if table.column(DELETED_AT).is_none() {
        names.push(DELETED_AT);
    }
    names
}

/// Reads a line of the write set, without its sign.
///
/// # Errors
/// When it is not ours.
pub(crate) fn parse(line: &str) -> Result<MergeReport, StoreError> {
    let texts: Vec<String> = serde_json::from_str(line).unwrap_or_default();
    match <[String; 5]>::try_from(texts) {
        Ok([table, id, column, kept, lost]) => Ok(MergeReport::Conflict(Conflict { table, id, column, kept, lost })),
        Err(texts) => match <[String; 4]>::try_from(texts) {
            Ok([table, id, column, stamp]) => Ok(MergeReport::Ahead(AheadStamp { table, id, column, stamp })),
            Err(_) => Err(StoreError::Schema(format!("the note has a conflict that is not ours: {line:?}"))),
        },
    }
}
