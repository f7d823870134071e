//! The sea-orm half of a table, written once here so that `#[nizhal::table]` emits one line a column.
//!
//! `__entity!` takes what the attribute read, each thing by its name, and has three parts: `__entity_types!` declares what stands
//! beside the struct, `table` says what the table is, `row` reads and writes rows.
//!
//! # One error for a type that no column has
//! An impl here would be refused for every trait of sea-orm that a column's type lacks, dozens of errors for one wrong type. So
//! each that needs the types begins with
//!
//! ```ignore
//! impl ModelTrait for Customer where for<'c> Wrong: ColumnType { /* … */ }
//! ```
//!
//! A condition without a parameter is proved where it is written, and where it is false that is an error. One that holds *for
//! each lifetime* is taken as given inside, and asked for when the impl is used; that `Wrong` names no lifetime does not matter. So
//! rustc takes the impls as they stand, and all that would use them is told once that there is no such impl. The list of columns in
//! `table` alone stands without the condition: there rustc says, at the user's token, that `Wrong` cannot be a column.

mod row;
mod table;
#[cfg(test)]
mod tests;

use crate::{ColumnDefault, ColumnDesc, ColumnIndex, ColumnType, TableDesc};
use sea_orm::sea_query::ValueType;
use sea_orm::{ActiveValue, ColumnDef, ColumnTypeTrait, DbErr, RelationDef, RelationTrait, Value};

/// Expands to the entity, column, key and active-model types of a table, and to its `Table` impl.
#[doc(hidden)]
#[macro_export]
macro_rules! __entity {
    (
        model: $vis:vis $Model:ident,
        entity: $Entity:ident,
        column: $Column:ident,
        key: $Key:ident,
        active: $Active:ident,
        handles: $Columns:ident,
        table: { name: $table:literal, $($said:ident: $value:expr),* $(,)? },
        key_type: $KeyType:ty,
        key_columns: [$($KeyVar:ident),* $(,)?],
        columns: [$($field:ident: $ty:ty = { variant: $Var:ident, name: $name:literal $($desc:tt)* }),* $(,)?],
        generated: [$($gfield:ident: $gty:ty = { variant: $GVar:ident, name: $gname:literal, sql: $sql:literal $($gdesc:tt)* }),* $(,)?],
        $(repaired: $repaired:literal,)?
    ) => {
        $crate::__entity_types! {
            model: $vis $Model,
            entity: $Entity,
            column: $Column,
            key: $Key,
            active: $Active,
            handles: $Columns,
            key_columns: [$($KeyVar)*],
            columns: [$($field: $ty = $Var,)*],
            generated: [$($gfield: $gty = $GVar,)*],
            // The condition of the module's documentation.
            columns_exist: [$(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*],
        }
        $crate::__entity_table! {
            model: $Model,
            entity: $Entity,
            column: $Column,
            key: $Key,
            handles: $Columns,
            table: { name: $table, $($said: $value,)* },
            key_columns: [$($KeyVar)*],
            columns: [$($field: $ty = { $Var, $name $($desc)* },)*],
            generated: [$($gfield: $gty = { $GVar, $gname, $sql $($gdesc)* },)*],
            columns_exist: [$(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*],
            key_exists: [for<'__c> $KeyType: $crate::__private::sea_orm::TryFromU64],
            repaired: [$($repaired)?],
        }
        $crate::__entity_row! {
            model: $Model,
            entity: $Entity,
            column: $Column,
            key: $Key,
            active: $Active,
            key_type: $KeyType,
            key_columns: [$($KeyVar)*],
            columns: [$($field: $ty = $Var $name,)*],
            generated: [$($gfield: $gty = $GVar $gname,)*],
            columns_exist: [$(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*],
            key_exists: [for<'__c> $KeyType: $crate::__private::sea_orm::TryFromU64],
        }
    };
}

/// The first part of `__entity!`: the types that stand beside the struct.
#[doc(hidden)]
#[macro_export]
macro_rules! __entity_types {
    (
        model: $vis:vis $Model:ident,
        entity: $Entity:ident,
        column: $Column:ident,
        key: $Key:ident,
        active: $Active:ident,
        handles: $Columns:ident,
        key_columns: [$($KeyVar:ident)*],
        columns: [$($field:ident: $ty:ty = $Var:ident,)*],
        generated: [$($gfield:ident: $gty:ty = $GVar:ident,)*],
        columns_exist: [$($columns_exist:tt)*],
    ) => {
        /// The sea-orm entity.
        #[derive(Clone, Copy, Debug, Default)]
        $vis struct $Entity;

        // No `PartialEq`: its `eq` would hide `ColumnTrait::eq`, the one that queries want.
        /// The sea-orm columns.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)]
        $vis enum $Column { $($Var,)* $($GVar),* }

        /// The sea-orm primary key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        $vis enum $Key { $($KeyVar),* }

        /// The sea-orm active model: each column set or not.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        $vis struct $Active
        where
            $($columns_exist)*
        {
            $(pub $field: $crate::__private::sea_orm::ActiveValue<$ty>),*
        }

        /// The typed column handles.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, dead_code)]
        $vis struct $Columns { $(pub $field: $crate::Col<$Model, $ty>,)* $(pub $gfield: $crate::Col<$Model, $gty>),* }
    };
}

/// Tables declare no relations; sea-orm wants a type all the same.
#[derive(Clone, Copy, Debug)]
pub enum NoRelation {}

impl RelationTrait for NoRelation {
    fn def(&self) -> RelationDef {
        match *self {}
    }
}

impl sea_orm::Iterable for NoRelation {
    type Iterator = std::iter::Empty<Self>;
    fn iter() -> Self::Iterator {
        std::iter::empty()
    }
}

/// Refuses, when the table is compiled, what only types tell: an alias hides them from the macro. Of a table that stands for one with
/// mistakes, `repaired` has a `true`, and the mistakes are told of already.
pub const fn check(columns: &[ColumnDesc], key: &[ColumnIndex], repaired: &[bool]) {
    if !repaired.is_empty() {
        return;
    }
    let mut part = 0;
    while part < key.len() {
        assert!(
            crate::key::has_text(columns[key[part].get()].sql),
            "a float, bytes, JSON or a list has no one text that a deleted row could be named by, so it cannot be part of the primary \
             key: give the rows an `id` of their own"
        );
        part += 1;
    }
    let mut at = 0;
    while at < columns.len() {
        let column = &columns[at];
        assert!(column.crdt.is_none() || !column.unique, "a CRDT column cannot be unique: take `unique` away");
        assert!(
            column.crdt.is_some() || column.crdt_root.is_none(),
            "`crdt_root` is for CRDT columns alone: take it away, or make the field a CrdtText or a CrdtMap"
        );
        assert!(!column.blob || !column.unique, "a blob column cannot be unique: take `unique` away");
        assert!(
            !column.blob || column.generated.is_none(),
            "a blob column cannot be generated: only a mutation that has the blob can name it"
        );
        assert!(!column.blob || column.default.is_none(), "a blob column has no default: take it away");
        if let Some(ColumnDefault::Text(text)) = column.default {
            assert!(
                column.texts.is_empty() || contains(column.texts, text),
                "the default is none of the enum's texts: write one that the enum has"
            );
        }
        at += 1;
    }
}

/// `texts.contains(text)`, where a constant is computed.
const fn contains(texts: &[&str], text: &str) -> bool {
    let mut at = 0;
    while at < texts.len() {
        let (one, other) = (texts[at].as_bytes(), text.as_bytes());
        let mut same = 0;
        while same < one.len() && same < other.len() && one[same] == other[same] {
            same += 1;
        }
        if same == one.len() && same == other.len() {
            return true;
        }
        at += 1;
    }
    false
}

/// The column definition of a Rust type.
pub fn column_def<T: ColumnType + ValueType>() -> ColumnDef {
    let def = <T as ValueType>::column_type().def();
    if T::NULLABLE { def.nullable() } else { def }
}

/// A field as a sea-orm value.
pub fn value<T: Clone + Into<Value>>(field: &T) -> Value {
    field.clone().into()
}

/// A sea-orm value as the field's type.
///
/// # Errors
/// [`DbErr::Type`] when the value is of another type.
pub fn unwrap<T: ValueType>(value: Value) -> Result<T, DbErr> {
    T::try_from(value).map_err(|error| DbErr::Type(error.to_string()))
}

/// What an active value holds.
///
/// # Errors
/// [`DbErr::AttrNotSet`] when it holds nothing.
pub fn taken<T: Into<Value>>(value: ActiveValue<T>, name: &str) -> Result<T, DbErr> {
    match value {
        ActiveValue::Set(value) | ActiveValue::Unchanged(value) => Ok(value),
        ActiveValue::NotSet => Err(DbErr::AttrNotSet(name.to_owned())),
    }
}

/// What a generated column holds in a row that is made of an active model, without the database.
///
/// # Errors
/// Always: only the database knows.
pub fn unknown<T>(name: &str) -> Result<T, DbErr> {
    Err(DbErr::AttrNotSet(name.to_owned()))
}

/// Why a generated column is not set.
pub fn generated(name: &str) -> DbErr {
    DbErr::Type(format!("the database generates `{name}`: it cannot be set"))
}

/// Whether a table keeps documents that merge.
#[doc(hidden)]
pub fn has_documents(table: &TableDesc) -> bool {
    table.columns.iter().any(|column| column.crdt.is_some())
}

/// Checks a document that is about to be written: devices and later merges find it under its column's root alone.
///
/// # Errors
/// When it has another root, with how to make it.
#[doc(hidden)]
pub fn check_document(table: &TableDesc, column: &str, value: ActiveValue<Value>) -> Result<(), DbErr> {
    #[cfg(feature = "crdt")]
    if let (Some(column), ActiveValue::Set(Value::Bytes(Some(state)))) = (table.column(column), value) {
        return crate::crdt::check_root(table, column, &state)
            .map_err(|error| DbErr::Query(sea_orm::RuntimeErr::Internal(error)));
    }
    #[cfg(not(feature = "crdt"))]
    let _ = (table, column, value);
    Ok(())
}
