//! The transaction under way, as SQL sees it: its version, its time, and its end.

use crate::store::StoreError;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

/// The version of our transaction, or the last that a writer from outside drew.
pub(super) const NOW: &str = "coalesce((select txn from _nizhal_control), (select clock from _nizhal_control))";
/// The time of a tombstone, as a device reads it.
pub(super) const TIME: &str = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00'";

/// What a row's version is for as long as the engine writes its other columns: a negative number that each transaction draws anew, and
/// that a mutator cannot read, since it may not name the table.
pub(super) const SIGN: &str = "(select sign from _nizhal_control)";
/// Draws another [`SIGN`], as an assignment.
pub(super) const DRAWN_SIGN: &str = "sign = random() | (1 << 63)";

/// Clears what a transaction of ours noted about itself; its last statement.
pub(in crate::store) async fn clear_write_set(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    let sql = "delete from _nizhal_touched; update _nizhal_control set txn = null, hlc = null where id = 1";
    Ok(tx.execute_unprepared(sql).await.map(drop)?)
}

/// A line of the note from its bytes. What another program wrote may not be UTF-8, and then names no bucket that anybody holds.
pub(in crate::store) fn line(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
