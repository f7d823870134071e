//! The second part of `__entity!`: what the table is, to us (`Table`) and by name to sea-orm.

/// Implements `Table` for the model, and the names and lists of the entity, its columns and its key.
#[doc(hidden)]
#[macro_export]
macro_rules! __entity_table {
    (
        model: $Model:ident,
        entity: $Entity:ident,
        column: $Column:ident,
        key: $Key:ident,
        handles: $Columns:ident,
        table: { name: $table:literal, $($said:ident: $value:expr,)* },
        key_columns: [$($KeyVar:ident)*],
        columns: [$($field:ident: $ty:ty = { $Var:ident, $name:literal $(, $desc:ident: $told:expr)* },)*],
        generated: [$($gfield:ident: $gty:ty = { $GVar:ident, $gname:literal, $sql:literal $(, $gdesc:ident: $gtold:expr)* },)*],
        columns_exist: [$($columns_exist:tt)*],
        key_exists: [$($key_exists:tt)*],
        repaired: [$($repaired:literal)?],
    ) => {
        const _: () = {
            // The user's types are named in here: nothing but this one odd name may shadow theirs.
            use $crate::__private as __p;

            // The one place without the condition: here rustc says of a type that it cannot be a column.
            const COLUMNS: &[$crate::ColumnDesc] = &[
                $($crate::ColumnDesc { $($desc: $told,)* ..$crate::ColumnDesc::of::<$ty>($name) },)*
                $($crate::ColumnDesc {
                    generated: __p::Option::Some($sql),
                    $($gdesc: $gtold,)*
                    ..$crate::ColumnDesc::of::<$gty>($gname)
                }),*
            ];
            // The variants stand in the order of the columns.
            const KEY: &[$crate::ColumnIndex] = &[$($crate::ColumnIndex::new($Column::$KeyVar as usize)),*];
            const _: () = $crate::entity::check(COLUMNS, KEY, &[$($repaired)?]);

            impl $crate::Table for $Model
            where
                $($columns_exist)*
                $($key_exists)*
            {
                type Columns = $Columns;
                const COLS: $Columns = $Columns {
                    $($field: $crate::Col::new($crate::ColumnIndex::new($Column::$Var as usize)),)*
                    $($gfield: $crate::Col::new($crate::ColumnIndex::new($Column::$GVar as usize))),*
                };
                const DESC: $crate::TableDesc = $crate::TableDesc {
                    name: $table,
                    columns: COLUMNS,
                    key: KEY,
                    $($said: $value),*
                };
            }

            impl __p::sea_orm::Iden for $Entity {
                fn unquoted(&self) -> &str {
                    __p::sea_orm::IdenStatic::as_str(self)
                }
            }
            impl __p::sea_orm::IdenStatic for $Entity {
                fn as_str(&self) -> &'static str {
                    $table
                }
            }
            impl __p::sea_orm::EntityName for $Entity {
                fn table_name(&self) -> &'static str {
                    $table
                }
            }

            impl __p::sea_orm::Iden for $Column {
                fn unquoted(&self) -> &str {
                    __p::sea_orm::IdenStatic::as_str(self)
                }
            }
            impl __p::sea_orm::IdenStatic for $Column {
                fn as_str(&self) -> &'static str {
                    match self {
                        $(Self::$Var => $name,)*
                        $(Self::$GVar => $gname),*
                    }
                }
            }
            impl __p::sea_orm::Iterable for $Column {
                type Iterator = ::std::iter::Copied<::std::slice::Iter<'static, Self>>;
                fn iter() -> Self::Iterator {
                    const ALL: &[$Column] = &[$($Column::$Var,)* $($Column::$GVar),*];
                    ALL.iter().copied()
                }
            }
            impl ::std::str::FromStr for $Column {
                type Err = __p::sea_orm::ColumnFromStrErr;
                fn from_str(name: &str) -> __p::Result<Self, Self::Err> {
                    match name {
                        $($name => __p::Result::Ok(Self::$Var),)*
                        $($gname => __p::Result::Ok(Self::$GVar),)*
                        _ => __p::Result::Err(__p::sea_orm::ColumnFromStrErr(__p::String::from(name))),
                    }
                }
            }
            impl __p::sea_orm::ColumnTrait for $Column
            where
                $($columns_exist)*
            {
                type EntityName = $Entity;
                fn def(&self) -> __p::sea_orm::ColumnDef {
                    match self {
                        $(Self::$Var => $crate::entity::column_def::<$ty>(),)*
                        $(Self::$GVar => $crate::entity::column_def::<$gty>()),*
                    }
                }
            }

            impl __p::sea_orm::Iden for $Key {
                fn unquoted(&self) -> &str {
                    __p::sea_orm::IdenStatic::as_str(self)
                }
            }
            impl __p::sea_orm::IdenStatic for $Key {
                fn as_str(&self) -> &'static str {
                    match self {
                        $(Self::$KeyVar => __p::sea_orm::IdenStatic::as_str(&$Column::$KeyVar)),*
                    }
                }
            }
            impl __p::sea_orm::Iterable for $Key {
                type Iterator = ::std::iter::Copied<::std::slice::Iter<'static, Self>>;
                fn iter() -> Self::Iterator {
                    const ALL: &[$Key] = &[$($Key::$KeyVar),*];
                    ALL.iter().copied()
                }
            }
        };
    };
}
