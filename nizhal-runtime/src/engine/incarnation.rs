//! Whether a cursor is of an incarnation of the database that was lost.

use super::cursor::Cursor;
use crate::store::{Clock, PullReader, StoreError, incarnation};

/// Whether the cursor was made in an incarnation of the database that was lost. To be asked before anything else is read, for the answer
/// keeps the snapshot; it is asked once a device and incarnation.
pub(super) async fn is_of_lost_incarnation(
    reader: &mut PullReader<'_>,
    cursor: Option<&Cursor>,
    clock: &Clock,
) -> Result<bool, StoreError> {
    match cursor {
        Some(cursor) if cursor.incarnation != incarnation::name(&clock.incarnation) => {
            Ok(!reader.has_reached(&cursor.incarnation, cursor.wal_lsn).await?)
        }
        _ => Ok(false),
    }
}
