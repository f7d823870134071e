//! The sea-orm half of a column type that is kept as another: ids, enums.

/// Implements what sea-orm wants of a type that is stored as `$Inner`; `$from` gives it back, or says why it cannot.
#[doc(hidden)]
#[macro_export]
macro_rules! __stored {
    ($Type:ident as $Inner:ty, $into:expr, $from:expr) => {
        impl ::std::convert::From<$Type> for __p::sea_orm::Value {
            fn from(value: $Type) -> Self {
                let into: fn($Type) -> $Inner = $into;
                into(value).into()
            }
        }
        impl __p::sea_orm::sea_query::Nullable for $Type {
            fn null() -> __p::sea_orm::Value {
                <$Inner as __p::sea_orm::sea_query::Nullable>::null()
            }
        }
        impl __p::sea_orm::sea_query::ValueType for $Type {
            fn try_from(value: __p::sea_orm::Value) -> __p::Result<Self, __p::sea_orm::sea_query::ValueTypeErr> {
                let from: fn($Inner) -> __p::Result<$Type, __p::String> = $from;
                from(<$Inner as __p::sea_orm::sea_query::ValueType>::try_from(value)?)
                    .map_err(|_| __p::sea_orm::sea_query::ValueTypeErr)
            }
            fn type_name() -> __p::String {
                __p::String::from(::std::stringify!($Type))
            }
            fn array_type() -> __p::sea_orm::sea_query::ArrayType {
                <$Inner as __p::sea_orm::sea_query::ValueType>::array_type()
            }
            fn column_type() -> __p::sea_orm::sea_query::ColumnType {
                <$Inner as __p::sea_orm::sea_query::ValueType>::column_type()
            }
        }
        impl __p::sea_orm::IntoActiveValue<$Type> for $Type {
            fn into_active_value(self) -> __p::sea_orm::ActiveValue<$Type> {
                __p::sea_orm::ActiveValue::Set(self)
            }
        }
        impl __p::sea_orm::TryFromU64 for $Type {
            fn try_from_u64(_: u64) -> __p::Result<Self, __p::sea_orm::DbErr> {
                __p::Result::Err(__p::sea_orm::DbErr::ConvertFromU64(::std::stringify!($Type)))
            }
        }
        impl __p::sea_orm::TryGetable for $Type {
            fn try_get_by<__I: __p::sea_orm::ColIdx>(
                row: &__p::sea_orm::QueryResult,
                index: __I,
            ) -> __p::Result<Self, __p::sea_orm::TryGetError> {
                let from: fn($Inner) -> __p::Result<$Type, __p::String> = $from;
                from(<$Inner as __p::sea_orm::TryGetable>::try_get_by(row, index)?)
                    .map_err(|reason| __p::sea_orm::TryGetError::DbErr(__p::sea_orm::DbErr::Type(reason)))
            }
        }
    };
}
