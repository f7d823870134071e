//! The rows of a pull's statement as they come: its header, the lanes' changes in order, and the images.

use super::{
    encode,
    header::{index, provisioned, read_into},
    pools::Pools,
    statement::{PullSql, kind},
};
use crate::store::{
    StoreError,
    limit::STATEMENT_TIMEOUT,
    read::{Change, Image, PullHeader, RowState},
    sql,
};
use futures_util::{TryStreamExt, stream::BoxStream};
use nizhal_core::Bucket;
use sqlx::{Row, postgres::PgRow};

/// The statement's rows as they come.
pub(crate) struct Rows<'s> {
    sql: &'s PullSql,
    pools: &'s Pools,
    rows: BoxStream<'s, Result<PgRow, sqlx::Error>>,
    next: Option<PgRow>,
    /// Kind, lane and version of the row before.
    last: (i32, i32, i64),
}

impl<'s> Rows<'s> {
    pub(super) fn new(sql: &'s PullSql, pools: &'s Pools, rows: BoxStream<'s, Result<PgRow, sqlx::Error>>) -> Self {
        Self { sql, pools, rows, next: None, last: (0, 0, 0) }
    }

    pub(super) async fn header(&mut self) -> Result<PullHeader, StoreError> {
        let mut header = PullHeader::default();
        while let Some((kind, _)) = self.peek().await? {
            let Some(row) = self.next.take_if(|_| kind < kind::CHANGE) else { break };
            read_into(&mut header, kind, &row)?;
        }
        provisioned(header)
    }

    /// The kind and lane of the next row, which is kept.
    async fn peek(&mut self) -> Result<Option<(i32, i32)>, StoreError> {
        if self.next.is_none() {
            self.next = self.pools.wait(STATEMENT_TIMEOUT, self.rows.try_next()).await?;
            let Some(row) = &self.next else { return Ok(None) };
            let order = (encode::int4(row, 0)?, encode::int4(row, 1)?, encode::int8(row, 3)?);
            // Nested loops keep this order, but SQL does not promise it, and a page that is cut out of order skips rows.
            if order.0 == kind::CHANGE && order < self.last {
                return Err(sqlx::Error::Protocol("changes came out of order".to_owned()).into());
            }
            self.last = order;
        }
        Ok(Some((self.last.0, self.last.1)))
    }

    pub(crate) async fn next_in(&mut self, lane: usize) -> Result<Option<i64>, StoreError> {
        while let Some((kind::CHANGE, number)) = self.peek().await? {
            match index(number)?.cmp(&lane) {
                std::cmp::Ordering::Less => self.next = None,
                std::cmp::Ordering::Equal => return Ok(Some(self.last.2)),
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(crate) fn take_change(&mut self) -> Result<Option<Change>, StoreError> {
        let Some(row) = self.next.take() else { return Ok(None) };
        let slot = index(encode::int4(&row, 2)?)?;
        let state = match encode::bytes(&row, 7)? {
            Some(deleted) => RowState::Gone { deleted: deleted != [0], client_key: row.try_get(8)? },
            None => self.row_state(&row, slot)?,
        };
        Ok(Some(Change { version: encode::int8(&row, 3)?, slot, key: encode::texts(&row, 5)?, state }))
    }

    pub(crate) async fn image(&mut self) -> Result<Option<Image>, StoreError> {
        while let Some((kind, rule)) = self.peek().await? {
            let Some(row) = self.next.take() else { break };
            if kind != kind::IMAGE {
                continue;
            }
            let Ok(params) = serde_json::from_str(row.try_get(8)?) else { continue };
            let Some((rule, _)) = self.sql.rules.get(index(rule)?) else { continue };
            let slot = index(row.try_get(2)?)?;
            let mut key: Vec<String> = row.try_get(5)?;
            let id = key.remove(0);
            let state = self.row_state(&row, slot)?;
            // What cannot be told is of no help against a tombstone.
            if let RowState::Unreadable(_) = state {
                continue;
            }
            let change = Change { version: row.try_get(3)?, slot, key, state };
            return Ok(Some(Image { bucket: Bucket::new(*rule, params), id, change }));
        }
        Ok(None)
    }

    /// The row's record as a JSON object.
    fn row_state(&self, row: &PgRow, slot: usize) -> Result<RowState, sqlx::Error> {
        let bytes = encode::bytes(row, 6)?.unwrap_or_default();
        let before = &self.sql.before[slot];
        let mut out = Vec::with_capacity(bytes.len() + before.iter().map(Vec::len).sum::<usize>());
        let unreadable = encode::record(&mut out, before, bytes).map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(match unreadable {
            None => RowState::Row(out),
            Some(column) => RowState::Unreadable(sql::wire_columns(self.sql.tables[slot])[column].0),
        })
    }
}
