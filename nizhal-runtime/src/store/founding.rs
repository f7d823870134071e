//! Which buckets had no member before: whoever founds one is the first, and waits for others who would be.

use super::{
    StoreError, WriteTx,
    read::{Membership, ScopeArg},
    sql::{Dialect, col, quote},
};
use nizhal_core::ParamSource;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Marks the advisory locks of foundings: the first of two keys.
const LOCK_CLASS: i32 = 20_059;

impl WriteTx<'_> {
    /// Those of these memberships whose value no row of the membership table has, whatever else the row says. Until the transaction
    /// ends, others that ask for one of them wait, and then find the row that this transaction wrote.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfounded(&self, asked: &BTreeSet<Membership>) -> Result<BTreeSet<Membership>, StoreError> {
        let mut unfounded = BTreeSet::new();
        // In one order for everybody, so that nobody waits in a circle.
        for membership @ (rule, param, value) in asked {
            let rules = self.store().schema.rules();
            let Some(ParamSource::Member { table, column, .. }) =
                rules.get(*rule).and_then(|rule| rule.params.get(*param)).map(|param| &param.source)
            else {
                continue;
            };
            let column = &table.columns[*column];
            let own = col("m", column);
            let (sql, value) = match self.dialect() {
                Dialect::Postgres => {
                    let lock = "select 1 as held from pg_advisory_xact_lock($1::int4, $2::int4)";
                    let key = Sha256::digest(format!("{}\0{}\0{value}", table.name, column.name));
                    let key = i32::from_be_bytes([key[0], key[1], key[2], key[3]]);
                    self.one(lock, [LOCK_CLASS.into(), key.into()]).await?;
                    // A statement of its own, whose snapshot is taken when the lock is held.
                    (format!("{own} = $1::text::{}", column.sql.postgres()), value.as_str().into())
                }
                Dialect::Sqlite => {
                    let arg = ScopeArg { text: Some(value.clone()), sql: column.sql };
                    (format!("{own} = $1"), self.store().scope_value(&arg))
                }
            };
            let sql = format!("select 1 as taken from {} m where {sql} limit 1", quote(table.name));
            if self.one(&sql, [value]).await?.is_none() {
                unfounded.insert(membership.clone());
            }
        }
        Ok(unfounded)
    }
}
