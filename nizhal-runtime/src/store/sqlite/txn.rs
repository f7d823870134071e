//! The transaction under way, as SQL sees it: its version, its time, and its end.

use crate::store::StoreError;
use sea_orm::{ConnectionTrait, DatabaseTransaction};

/// The version of our transaction, or the last that a writer from outside drew.
pub(super) const NOW: &str = "coalesce((select txn from _nizhal_control), (select clock from _nizhal_control))";
/// The time of a tombstone, as a device reads it.
pub(super) const TIME: &str = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '+00:00'";

/// Clears what a transaction of ours noted about itself; its last statement.
pub(in crate::store) async fn settled(tx: &DatabaseTransaction) -> Result<(), StoreError> {
    tx.execute_unprepared("delete from _nizhal_touched").await?;
    tx.execute_unprepared("update _nizhal_control set txn = null, hlc = null where id = 1").await?;
    Ok(())
}
