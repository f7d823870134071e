//! The rows that name a blob: whether there are any, and whether an actor sees one.
//!
//! Each blob column has an index on the hashes that it names, so these queries cost as much as there are rows that name the blob.
//!
//! Decision: book/src/decisions/blobs.md#an-index-on-the-hash-answers-who-names-a-blob

use super::{
    StoreError, WriteTx,
    blob_reference::blob_columns,
    database::Store,
    sql::{Dialect, literal, placeholders, quote},
};
use nizhal_core::{BlobHash, BlobRef, ColumnDesc, Principal, TableDesc};
use sea_orm::{
    DbBackend, Statement,
    sea_query::{Alias, Expr, Query, SelectStatement, UnionType},
};
use std::collections::BTreeSet;

/// The most hashes that one statement looks for.
const MAX_HASHES: usize = 500;

/// The most missing blobs that are looked for in the arguments of a push.
const MAX_MISSING: usize = 100;

impl Store {
    /// The reference by which a row names this blob that the actor sees now: one in its buckets that is not deleted, in a column that
    /// devices get. `None` where no such row names it, whether the blob exists or not. By the indexes of blob columns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn visible_blob(&self, principal: &Principal, hash: BlobHash) -> Result<Option<BlobRef>, StoreError> {
        let Some(query) = self.visible_references(principal, hash) else { return Ok(None) };
        let rows = self.query_all(self.backend_name().build(&query)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let found: String = row.try_get("", "reference")?;
        let found = serde_json::from_str(&found);
        found.map(Some).map_err(|error| StoreError::Schema(format!("a blob column holds no reference: {error}")))
    }

    /// Those of these blobs that some row names, deleted or not, of any table. By the indexes of blob columns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn referenced_blobs(&self, hashes: &[BlobHash]) -> Result<BTreeSet<BlobHash>, StoreError> {
        let mut referenced = BTreeSet::new();
        for some in hashes.chunks(MAX_HASHES) {
            let sql = format!(
                "select b.sha256 from _nizhal_blobs b where b.sha256 in ({}) and {}",
                placeholders(0, some.len()),
                self.is_referenced("b.sha256")
            );
            let values = some.iter().map(|hash| hash.to_string().into());
            for row in self.query_all(Statement::from_sql_and_values(self.backend_name(), sql, values)).await? {
                referenced.extend(row.try_get::<String>("", "sha256")?.parse::<BlobHash>());
            }
        }
        Ok(referenced)
    }

    /// Whether some row, deleted or not, of any table names the blob of this hash, as SQL. By the indexes of blob columns.
    pub(super) fn is_referenced(&self, hash: &str) -> String {
        let names = |(table, column): (&TableDesc, &ColumnDesc)| {
            let value = format!("r.{}", quote(column.name));
            let named = self.dialect().blob_hash(&value);
            format!("exists (select 1 from {} r where {value} is not null and {named} = {hash})", quote(table.name))
        };
        let any: Vec<String> = blob_columns(&self.schema).map(names).collect();
        if any.is_empty() { self.dialect().boolean(false).to_owned() } else { format!("({})", any.join(" or ")) }
    }

    /// One of the references by which rows name this blob that the actor sees now; `None` where no device gets a blob column.
    fn visible_references(&self, principal: &Principal, hash: BlobHash) -> Option<SelectStatement> {
        let hash = literal(&hash.to_string());
        let of = |(table, column): (&'static TableDesc, &'static ColumnDesc)| {
            let value = format!("{}.{}", quote(table.name), quote(column.name));
            let named = self.dialect().blob_hash(&value);
            Query::select()
                .expr_as(Expr::cust(format!("cast({value} as text)")), Alias::new("reference"))
                .from(Alias::new(table.name))
                .and_where(Expr::cust(format!("{value} is not null and {named} = {hash}")))
                .cond_where(self.visible(table.name, principal))
                .to_owned()
        };
        // A table's description here is that of its rules, in which what they do not list is private.
        let mut selects = blob_columns(&self.schema).filter(|(_, column)| !column.private).map(of);
        let mut query = selects.next()?;
        query.unions(selects.map(|select| (UnionType::All, select)));
        Some(query.limit(1).to_owned())
    }

    fn backend_name(&self) -> DbBackend {
        match self.dialect() {
            Dialect::Postgres => DbBackend::Postgres,
            Dialect::Sqlite => DbBackend::Sqlite,
        }
    }
}

impl WriteTx<'_> {
    /// Those of these blobs that the actor may not name: it neither uploaded them, nor sees a row now that names them. That is the same
    /// for a blob that nobody stored and for one that it knows the hash of alone. By the primary key of the holders, and the indexes of
    /// blob columns.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unnameable_blobs(
        &self,
        principal: &Principal,
        hashes: &BTreeSet<BlobHash>,
    ) -> Result<Vec<BlobHash>, StoreError> {
        let (all, mut held) = (hashes.iter().copied().collect::<Vec<_>>(), BTreeSet::new());
        for some in all.chunks(MAX_HASHES) {
            let sql = format!(
                "select sha256 from _nizhal_blob_holders where actor = $1 and sha256 in ({})",
                placeholders(1, some.len())
            );
            let values = std::iter::once(principal.key().into()).chain(some.iter().map(|hash| hash.to_string().into()));
            for row in self.all(&sql, values).await? {
                held.extend(row.try_get::<String>("", "sha256")?.parse::<BlobHash>());
            }
        }
        let mut missing = Vec::new();
        for hash in all.into_iter().filter(|hash| !held.contains(hash)) {
            if missing.len() == MAX_MISSING {
                break;
            }
            let seen = match self.store().visible_references(principal, hash) {
                None => false,
                Some(query) => {
                    let Statement { sql, values, .. } = self.store().backend_name().build(&query);
                    self.one(&sql, values.map(|values| values.0).unwrap_or_default()).await?.is_some()
                }
            };
            if !seen {
                missing.push(hash);
            }
        }
        Ok(missing)
    }
}
