//! The third part of `__entity!`: how sea-orm reads and writes rows, as models and as active models.

/// Implements sea-orm's entity, primary key, model and active model.
///
/// A generated column is in the model alone: an active model neither holds nor takes it.
#[doc(hidden)]
#[macro_export]
macro_rules! __entity_row {
    (
        model: $Model:ident,
        entity: $Entity:ident,
        column: $Column:ident,
        key: $Key:ident,
        active: $Active:ident,
        key_type: $KeyType:ty,
        key_columns: [$($KeyVar:ident)*],
        columns: [$($field:ident: $ty:ty = $Var:ident $name:literal,)*],
        generated: [$($gfield:ident: $gty:ty = $GVar:ident $gname:literal,)*],
        columns_exist: [$($columns_exist:tt)*],
        key_exists: [$($key_exists:tt)*],
    ) => {
        const _: () = {
            use $crate::__private as __p;

            impl __p::sea_orm::EntityTrait for $Entity
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Model = $Model;
                type ModelEx = $Model;
                type ActiveModel = $Active;
                type ActiveModelEx = $Active;
                type Column = $Column;
                type Relation = $crate::entity::NoRelation;
                type PrimaryKey = $Key;
            }
            impl __p::sea_orm::PrimaryKeyTrait for $Key
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type ValueType = $KeyType;
                fn auto_increment() -> bool {
                    false
                }
            }
            impl __p::sea_orm::PrimaryKeyToColumn for $Key
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Column = $Column;
                fn into_column(self) -> $Column {
                    match self {
                        $(Self::$KeyVar => $Column::$KeyVar),*
                    }
                }
                fn from_column(column: $Column) -> __p::Option<Self> {
                    match column {
                        $($Column::$KeyVar => __p::Option::Some(Self::$KeyVar),)*
                        #[allow(unreachable_patterns)]
                        _ => __p::Option::None,
                    }
                }
            }

            impl __p::sea_orm::FromQueryResult for $Model
            where
                $($columns_exist)*
            {
                fn from_query_result(row: &__p::sea_orm::QueryResult, pre: &str) -> __p::Result<Self, __p::sea_orm::DbErr> {
                    __p::Result::Ok(Self {
                        $($field: row.try_get(pre, $name)?,)*
                        $($gfield: row.try_get(pre, $gname)?),*
                    })
                }
            }
            impl __p::sea_orm::ModelTrait for $Model
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Entity = $Entity;
                fn get(&self, column: $Column) -> __p::sea_orm::Value {
                    match column {
                        $($Column::$Var => $crate::entity::value(&self.$field),)*
                        $($Column::$GVar => $crate::entity::value(&self.$gfield)),*
                    }
                }
                fn get_value_type(column: $Column) -> __p::sea_orm::sea_query::ArrayType {
                    match column {
                        $($Column::$Var => <$ty as __p::sea_orm::sea_query::ValueType>::array_type(),)*
                        $($Column::$GVar => <$gty as __p::sea_orm::sea_query::ValueType>::array_type()),*
                    }
                }
                fn try_set(&mut self, column: $Column, value: __p::sea_orm::Value) -> __p::Result<(), __p::sea_orm::DbErr> {
                    match column {
                        $($Column::$Var => self.$field = $crate::entity::unwrap(value)?,)*
                        $($Column::$GVar => self.$gfield = $crate::entity::unwrap(value)?),*
                    }
                    __p::Result::Ok(())
                }
            }

            impl ::std::default::Default for $Active
            where
                $($columns_exist)*
                $($key_exists)*
            {
                fn default() -> Self {
                    <Self as __p::sea_orm::ActiveModelBehavior>::new()
                }
            }
            impl ::std::convert::From<$Model> for $Active
            where
                $($columns_exist)*
                $($key_exists)*
            {
                fn from(model: $Model) -> Self {
                    Self { $($field: __p::sea_orm::ActiveValue::Unchanged(model.$field)),* }
                }
            }
            impl __p::sea_orm::IntoActiveModel<$Active> for $Model
            where
                $($columns_exist)*
                $($key_exists)*
            {
                fn into_active_model(self) -> $Active {
                    self.into()
                }
            }
            impl ::std::convert::TryFrom<$Active> for $Model
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Error = __p::sea_orm::DbErr;
                fn try_from(active: $Active) -> __p::Result<Self, __p::sea_orm::DbErr> {
                    __p::Result::Ok(Self {
                        $($field: $crate::entity::taken(active.$field, $name)?,)*
                        // An active model does not hold them, so a row made of one alone has none.
                        $($gfield: $crate::entity::unknown($gname)?),*
                    })
                }
            }
            impl __p::sea_orm::TryIntoModel<$Model> for $Active
            where
                $($columns_exist)*
                $($key_exists)*
            {
                fn try_into_model(self) -> __p::Result<$Model, __p::sea_orm::DbErr> {
                    ::std::convert::TryInto::try_into(self)
                }
            }
            impl __p::sea_orm::ActiveModelBehavior for $Active
            where
                $($columns_exist)*
                $($key_exists)*
            {
                // As `async_trait` would write it, which costs every table more to compile.
                fn before_save<'life0, 'async_trait, C>(
                    self,
                    _: &'life0 C,
                    _: bool,
                ) -> ::std::pin::Pin<
                    ::std::boxed::Box<
                        dyn ::std::future::Future<Output = __p::Result<Self, __p::sea_orm::DbErr>>
                            + ::std::marker::Send
                            + 'async_trait,
                    >,
                >
                where
                    C: __p::sea_orm::ConnectionTrait + 'async_trait,
                    'life0: 'async_trait,
                    Self: 'async_trait,
                {
                    let table = &<$Model as $crate::Table>::DESC;
                    let checked = if $crate::entity::has_documents(table) {
                        [$(($name, __p::sea_orm::ActiveModelTrait::get(&self, $Column::$Var))),*]
                            .into_iter()
                            .try_for_each(|(name, value)| $crate::entity::check_document(table, name, value))
                    } else {
                        __p::Result::Ok(())
                    };
                    ::std::boxed::Box::pin(::std::future::ready(checked.map(|()| self)))
                }
            }
            impl __p::sea_orm::ActiveModelTrait for $Active
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Entity = $Entity;
                fn take(&mut self, column: $Column) -> __p::sea_orm::ActiveValue<__p::sea_orm::Value> {
                    match column {
                        $($Column::$Var => ::std::mem::take(&mut self.$field).into_wrapped_value(),)*
                        $($Column::$GVar => __p::sea_orm::ActiveValue::NotSet),*
                    }
                }
                fn get(&self, column: $Column) -> __p::sea_orm::ActiveValue<__p::sea_orm::Value> {
                    match column {
                        $($Column::$Var => ::std::clone::Clone::clone(&self.$field).into_wrapped_value(),)*
                        $($Column::$GVar => __p::sea_orm::ActiveValue::NotSet),*
                    }
                }
                fn set_if_not_equals(&mut self, column: $Column, value: __p::sea_orm::Value) {
                    match column {
                        $($Column::$Var => self.$field.set_if_not_equals(__p::sea_orm::sea_query::ValueType::unwrap(value)),)*
                        $($Column::$GVar => {}),*
                    }
                }
                fn try_set(&mut self, column: $Column, value: __p::sea_orm::Value) -> __p::Result<(), __p::sea_orm::DbErr> {
                    match column {
                        $($Column::$Var => self.$field = __p::sea_orm::ActiveValue::Set($crate::entity::unwrap(value)?),)*
                        $($Column::$GVar => return __p::Result::Err($crate::entity::generated($gname))),*
                    }
                    __p::Result::Ok(())
                }
                fn not_set(&mut self, column: $Column) {
                    match column {
                        $($Column::$Var => self.$field = __p::sea_orm::ActiveValue::NotSet,)*
                        $($Column::$GVar => {}),*
                    }
                }
                fn is_not_set(&self, column: $Column) -> bool {
                    match column {
                        $($Column::$Var => self.$field.is_not_set(),)*
                        $($Column::$GVar => true),*
                    }
                }
                fn default() -> Self {
                    Self { $($field: __p::sea_orm::ActiveValue::NotSet),* }
                }
                fn default_values() -> Self {
                    <Self as __p::sea_orm::ActiveModelTrait>::default()
                }
                fn reset(&mut self, column: $Column) {
                    match column {
                        $($Column::$Var => self.$field.reset(),)*
                        $($Column::$GVar => {}),*
                    }
                }
            }
        };
    };
}
