//! References to blobs in SQL: the hash that a column names, what is a reference, and the errors of what is none.
//!
//! A trigger of each blob column refuses what is no reference, and a reference to a blob that is not stored
//! (`postgres/blob.rs`, `sqlite/blob.rs`).

use super::{
    StoreError,
    sql::{Dialect, quote},
};
use crate::schema::Schema;
use nizhal_core::{ColumnDesc, TableDesc};

/// The constraint that each named blob is stored, by the name that errors have of it.
pub(super) const STORED: &str = "_nizhal_blob_stored";

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
                // A reference needs no escapes; SQLite reads no text behind an escaped NUL.
                format!(
                    "case when typeof({value}) = 'text' and instr({value}, '\\') = 0 and json_valid({value}) then coalesce(json_type({value}) = 'object' \
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
