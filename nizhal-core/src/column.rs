//! Rust types as columns, and the typed handles that rules and the compiler compare.

use crate::{ColumnIndex, ConstValue, Crdt, Date, DateTimeUtc, Decimal, JsonCheck, ScopeValue, SqlType, Time, Uuid};
use schemars::{Schema, SchemaGenerator};
use sea_orm::{
    TryGetable,
    sea_query::{Nullable, ValueType},
};
use std::{fmt, marker::PhantomData};

/// A Rust type that a column can hold.
///
/// Implemented for `bool`, `i16`, `i32`, `i64`, `f32`, `f64`, [`Decimal`], `String`, [`Uuid`], [`DateTimeUtc`],
/// [`Date`], [`Time`], [`Json`](crate::Json), `Vec<u8>`, [`BlobRef`](crate::BlobRef), `CrdtText`, `CrdtMap`, for `Vec` of most on
/// Postgres, for what `#[nizhal::id]` and `#[nizhal::text_enum]` make, and for `Option` of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a column",
    label = "not a column type",
    note = "columns are bool, i16, i32, i64, f32, f64, nizhal::Decimal, String, Uuid, DateTimeUtc, Date, Time, Json<T>, Vec<u8>, BlobRef, CrdtText, CrdtMap, what #[nizhal::id] and #[nizhal::text_enum] make, or Option of one",
    note = "for money use nizhal::Decimal, for moments DateTimeUtc, for structures Json<T>"
)]
pub trait ColumnType: Into<sea_orm::Value> + TryGetable + ValueType {
    /// The SQL type.
    const SQL: SqlType;
    /// Whether NULL is a value of this type.
    const NULLABLE: bool = false;
    /// What its values are when they merge as Yjs documents do.
    const CRDT: Option<Crdt> = None;
    /// Whether its values are references to blobs.
    const BLOB: bool = false;
    /// The only texts it can hold; empty when it is no enum.
    const TEXTS: &'static [&'static str] = &[];
    /// The JSON Schema of its values, where the SQL type does not say enough.
    const SCHEMA: Option<fn(&mut SchemaGenerator) -> Schema> = None;
    /// Tells why a text of JSON cannot be read as this type, where it is JSON.
    const CHECK: Option<JsonCheck> = None;
}

/// A column type whose values can name a bucket.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot scope a bucket",
    label = "not a bucket key",
    note = "bucket keys are String, Uuid, i16, i32 or i64, and never Option: a NULL would belong to nobody",
    note = "for a claim that may be absent write `actor.claim?`: where it is absent, there is no bucket"
)]
pub trait ScopeColumn: ColumnType + 'static {
    /// This value as a bucket parameter.
    fn to_scope(&self) -> ScopeValue;
}

/// A column type that can be compared with a constant in a rule.
#[diagnostic::on_unimplemented(
    message = "a rule cannot compare a column of type `{Self}` with a constant",
    label = "no constants of this type",
    note = "constants in rules are compared with String, bool, i16, i32 or i64 columns"
)]
pub trait ConstColumn: ColumnType {
    /// The type of a constant that is written out.
    type Literal: Into<ConstValue>;
    /// The type of a constant that is named: an enum's variant, a `const`.
    type Named: Into<ConstValue>;
}

/// Two types that must be the same for rows to stay inside their bucket.
#[diagnostic::on_unimplemented(
    message = "column type `{Self}` differs from `{Other}`, the type of what it is compared with",
    label = "this column is of another type",
    note = "a column scopes a row only when it has exactly the type of the parameter's source"
)]
pub trait SameType<Other> {}
impl<T> SameType<T> for T {}
// No `Option` scopes a bucket, so this lets nothing through. It is here because with one impl alone rustc would infer
// `Other` from `Self` and never report through this trait, and because a claim that is an `Option` is one mistake.
#[diagnostic::do_not_recommend]
impl<T> SameType<Option<T>> for T {}

macro_rules! column_types {
    ($($ty:ty => $sql:ident),* $(,)?) => {$(
        impl ColumnType for $ty {
            const SQL: SqlType = SqlType::$sql;
        }
    )*};
}
column_types! {
    bool => Bool, i16 => Int2, i32 => Int4, i64 => Int8, f32 => Float4, f64 => Float8, Decimal => Numeric,
    String => Text, Uuid => Uuid, DateTimeUtc => Timestamptz, Date => Date, Time => Time, Vec<u8> => Bytes,
    serde_json::Value => Json,
}

macro_rules! array_types {
    ($($ty:ty => $sql:ident),* $(,)?) => {$(
        impl ColumnType for Vec<$ty> {
            const SQL: SqlType = SqlType::Array(&SqlType::$sql);
        }
    )*};
}
array_types! {
    bool => Bool, i16 => Int2, i32 => Int4, i64 => Int8, f32 => Float4, f64 => Float8,
    String => Text, Uuid => Uuid, DateTimeUtc => Timestamptz, Date => Date, Time => Time,
}

#[diagnostic::do_not_recommend]
impl<T: ColumnType + Nullable> ColumnType for Option<T> {
    const SQL: SqlType = T::SQL;
    const NULLABLE: bool = true;
    const CRDT: Option<Crdt> = T::CRDT;
    const BLOB: bool = T::BLOB;
    const TEXTS: &'static [&'static str] = T::TEXTS;
    const SCHEMA: Option<fn(&mut SchemaGenerator) -> Schema> = T::SCHEMA;
    const CHECK: Option<JsonCheck> = T::CHECK;
}

macro_rules! constants {
    ($($ty:ty => $literal:ty),* $(,)?) => {$(
        impl ConstColumn for $ty {
            type Literal = $literal;
            type Named = $literal;
        }
    )*};
}
// A NULL is neither equal to a constant nor different from it.
#[diagnostic::do_not_recommend]
impl<T: ConstColumn + Nullable> ConstColumn for Option<T> {
    type Literal = T::Literal;
    type Named = T::Named;
}
constants! { bool => bool, i16 => i16, i32 => i32, i64 => i64, String => &'static str }

impl ScopeColumn for String {
    fn to_scope(&self) -> ScopeValue {
        ScopeValue::Text(self.clone())
    }
}
impl ScopeColumn for Uuid {
    fn to_scope(&self) -> ScopeValue {
        ScopeValue::Uuid(*self)
    }
}
macro_rules! scope_ints {
    ($($ty:ty),*) => {$(
        impl ScopeColumn for $ty {
            fn to_scope(&self) -> ScopeValue {
                ScopeValue::Int(i64::from(*self))
            }
        }
    )*};
}
scope_ints!(i16, i32, i64);

/// The typed handle of one column: table `T`, Rust type `C`.
pub struct Col<T, C> {
    at: ColumnIndex,
    marker: PhantomData<fn() -> (T, C)>,
}

impl<T, C> Clone for Col<T, C> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T, C> Copy for Col<T, C> {}
impl<T, C> fmt::Debug for Col<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Col").field(&self.at).finish()
    }
}

impl<T, C> Col<T, C> {
    /// The handle of the column at this place of the table's description.
    #[doc(hidden)]
    pub const fn new(at: ColumnIndex) -> Self {
        Self { at, marker: PhantomData }
    }

    /// The column's place in the table's description.
    pub const fn index(self) -> ColumnIndex {
        self.at
    }
}
