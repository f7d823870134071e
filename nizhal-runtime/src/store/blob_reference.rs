//! References of rows to blobs: how a column names one, in SQL, and which rows do.
//!
//! Each blob column has an index on the hashes that it names, so these queries cost as much as there are rows that name the blob. A
//! trigger of each blob column refuses what is no reference, and a reference to a blob that is not stored
//! (`postgres/blob.rs`, `sqlite/blob.rs`).

use super::{
    StoreError, WriteTx,
    database::Store,
    sql::{Dialect, literal, placeholders, quote},
};
use crate::schema::Schema;
use nizhal_core::{BlobHash, BlobRef, ColumnDesc, Principal, TableDesc};
use sea_orm::{
    DbBackend, Statement,
    sea_query::{Alias, Expr, Query, SelectStatement, UnionType},
};
use std::collections::BTreeSet;

/// The constraint that each named blob is stored, by the name that errors have of it.
pub(super) const STORED: &str = "_nizhal_blob_stored";

/// The most hashes that one statement looks for.
const MAX_HASHES: usize = 500;

/// The most missing blobs that are looked for in the arguments of a push.
const MAX_MISSING: usize = 100;

/// The blob columns of all tables.
pub(super) fn blob_columns(schema: &Schema) -> impl Iterator<Item = (&'static TableDesc, &'static ColumnDesc)> {
    schema.tables().iter().flat_map(|&table| table.blob_columns().map(move |column| (table, column)))
}

impl Dialect {
    /// The hash that a reference names, as its index has it.
    pub(super) fn blob_hash(self, value: &str) -> String {
        match self {
            Self::Postgres => format!("({value} ->> 'sha256')"),
            Self::Sqlite => format!("json_extract({value}, '$.sha256')"),
        }
    }

    /// What the index of a blob column stands on, behind the table's name.
    pub(super) fn blob_index(self, column: &ColumnDesc) -> String {
        let column = quote(column.name);
        format!("({}) where {column} is not null", self.blob_hash(&column))
    }

    /// Whether a value that is not NULL is a reference to a blob, as strictly as [`BlobRef`] reads it; never NULL.
    pub(super) fn is_blob_reference(self, value: &str) -> String {
        match self {
            Self::Postgres => format!(
                "coalesce({value}::jsonb = jsonb_build_object('sha256', {value} ->> 'sha256', 'size', {value}::jsonb -> 'size', \
                 'mime', {value} ->> 'mime') and {value} ->> 'sha256' ~ '^[0-9a-f]{{64}}$' and jsonb_typeof({value}::jsonb -> 'size') = 'number' \
                 and {value} ->> 'size' ~ '^[1-9][0-9]{{0,15}}$' and ({value} ->> 'size')::int8 <= 9007199254740991 \
                 and length({value} ->> 'mime') <= 127 \
                 and {value} ->> 'mime' ~ '^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*$', false)"
            ),
            Self::Sqlite => {
                let part = |name: &str| format!("json_extract({value}, '$.{name}')");
                let (hash, size, mime) = (part("sha256"), part("size"), part("mime"));
                format!(
                    "case when json_valid({value}) then coalesce(json_type({value}) = 'object' \
                     and (select count(*) from json_each({value})) = 3 and json_type({value}, '$.sha256') = 'text' \
                     and length({hash}) = 64 and {hash} not glob '*[^0-9a-f]*' and json_type({value}, '$.size') = 'integer' \
                     and {size} between 1 and 9007199254740991 and json_type({value}, '$.mime') = 'text' and length({mime}) <= 127 \
                     and {mime} glob '[A-Za-z0-9]*/[A-Za-z0-9]*' and {mime} not glob '*/*/*' \
                     and {mime} not glob '*[^A-Za-z0-9!#$&^_.+/-]*', 0) else 0 end"
                )
            }
        }
    }

    /// The error of a value that is no reference.
    pub(super) fn no_blob_reference(table: &TableDesc, column: &ColumnDesc) -> String {
        format!(
            "{}.{} names a blob as {{\"sha256\": \"64 lower-case hexadecimal digits\", \"size\": 123, \"mime\": \"image/jpeg\"}} and in no other \
             way",
            table.name, column.name
        )
    }

    /// The error of a reference to a blob that is not stored.
    pub(super) fn blob_not_stored(table: &TableDesc, column: &ColumnDesc) -> String {
        format!("{}.{} names a blob that is not stored: upload it first ({STORED})", table.name, column.name)
    }

    /// The error of a table whose rows name blobs that are not stored.
    pub(super) fn unstored_rows(table: &TableDesc, column: &ColumnDesc) -> StoreError {
        StoreError::Schema(format!(
            "rows of table `{0}` have something else than references to stored blobs in the column `{1}`: set it to NULL there, or \
             delete these rows, and name the blobs again when they are uploaded",
            table.name, column.name
        ))
    }

    /// The error of a reference to a blob of another size.
    pub(super) fn blob_of_other_size(table: &TableDesc, column: &ColumnDesc) -> String {
        format!("{}.{} names a blob with another size than it has", table.name, column.name)
    }
}

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
