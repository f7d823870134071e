//! Documents as columns: `bytea` in Postgres, `blob` in SQLite.

use super::{CrdtError, CrdtMap, CrdtText, CrdtUpdate, Kind};
use crate::{ColumnType, Crdt, SqlType};
use sea_orm::sea_query::{ArrayType, ColumnType as SeaType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ActiveValue, ColIdx, DbErr, IntoActiveValue, QueryResult, TryGetError, TryGetable, Value};

/// [`CrdtText`] or [`CrdtMap`].
pub trait CrdtDocument: Default + Send {
    /// Merges an update into the shared type of this name, or of the usual one; answers whether it told anything new.
    ///
    /// # Errors
    /// [`CrdtError::Update`] when the update is not for this column, [`CrdtError::State`] when the document has another type.
    fn merge(&mut self, root: Option<&str>, update: &CrdtUpdate) -> Result<bool, CrdtError>;
}

/// A column that `ctx.merge` can merge into: a document, or an `Option` of one, whose NULL is an empty document.
#[diagnostic::on_unimplemented(
    message = "a column of type `{Self}` cannot be merged into",
    label = "not a CRDT column",
    note = "`ctx.merge` takes columns of type CrdtText, CrdtMap, or Option of one; any other column is written with `Set`"
)]
pub trait CrdtColumn: ColumnType + TryGetable + Into<Value> + Send {
    /// The document.
    type Document: CrdtDocument;
    /// What the column holds, or an empty document.
    fn into_document(self) -> Self::Document;
    /// The document as the column's value.
    fn of(document: &Self::Document) -> Self;
}

macro_rules! columns {
    ($($Document:ident $kind:ident),*) => {$(
        impl ColumnType for $Document {
            const SQL: SqlType = SqlType::Bytes;
            const CRDT: Option<Crdt> = Some(Crdt::$kind);
        }

        impl CrdtDocument for $Document {
            fn merge(&mut self, root: Option<&str>, update: &CrdtUpdate) -> Result<bool, CrdtError> {
                self.merge_in(root.unwrap_or(Kind::$kind.root()), update)
            }
        }

        impl CrdtColumn for $Document {
            type Document = Self;
            fn into_document(self) -> Self {
                self
            }
            fn of(document: &Self) -> Self {
                document.clone()
            }
        }

        #[diagnostic::do_not_recommend]
        impl CrdtColumn for Option<$Document> {
            type Document = $Document;
            fn into_document(self) -> $Document {
                self.unwrap_or_default()
            }
            fn of(document: &$Document) -> Self {
                Some(document.clone())
            }
        }

        impl From<$Document> for Value {
            fn from(document: $Document) -> Self {
                document.state.into()
            }
        }

        impl Nullable for $Document {
            fn null() -> Value {
                <Vec<u8> as Nullable>::null()
            }
        }

        impl ValueType for $Document {
            fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                $Document::from_state(<Vec<u8> as ValueType>::try_from(value)?).map_err(|_| ValueTypeErr)
            }
            fn type_name() -> String {
                stringify!($Document).to_owned()
            }
            fn array_type() -> ArrayType {
                ArrayType::Bytes
            }
            fn column_type() -> SeaType {
                <Vec<u8> as ValueType>::column_type()
            }
        }

        impl IntoActiveValue<$Document> for $Document {
            fn into_active_value(self) -> ActiveValue<$Document> {
                ActiveValue::Set(self)
            }
        }

        impl TryGetable for $Document {
            fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
                let state = Vec::<u8>::try_get_by(row, index)?;
                $Document::from_state(state).map_err(|error| TryGetError::DbErr(DbErr::Type(error.to_string())))
            }
        }
    )*};
}
columns!(CrdtText Text, CrdtMap Map);
