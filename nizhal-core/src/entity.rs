//! The sea-orm half of a table, written once here so that `#[nizhal::table]` emits one line a column.

/// Expands to the entity, column, key and active-model types of a table, and to its `Table` impl.
#[doc(hidden)]
#[macro_export]
macro_rules! __entity {
    (
        $vis:vis $Model:ident, $Entity:ident, $Column:ident, $Key:ident, $Active:ident, $Columns:ident;
        desc { name: $table:literal, key: $key:expr, $($desc:tt)* }
        key ($keyty:ty) { $($keyvar:ident)* }
        columns { $($at:literal $field:ident $Var:ident $name:literal : $ty:ty { $($cd:tt)* })* }
        generated { $($gat:literal $gfield:ident $GVar:ident $gname:literal : $gty:ty { $sql:literal $($gcd:tt)* })* }
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
        $vis enum $Key { $($keyvar),* }

        /// The sea-orm active model: each column set or not.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs)]
        $vis struct $Active
        where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*
        { $(pub $field: $crate::__private::sea_orm::ActiveValue<$ty>),* }

        /// The typed column handles.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs, dead_code)]
        $vis struct $Columns { $(pub $field: $crate::Col<$Model, $ty>,)* $(pub $gfield: $crate::Col<$Model, $gty>),* }

        const _: () = {
            // The user's types are named in here: nothing but this one odd name may shadow theirs.
            use $crate::__private as __p;

            // The one place that no `where` guards: here rustc says of a type that it cannot be a column.
            const COLUMNS: &[$crate::ColumnDesc] = &[
                $($crate::ColumnDesc { $($cd)* ..$crate::ColumnDesc::of::<$ty>($name) },)*
                $($crate::ColumnDesc {
                    generated: __p::Option::Some($sql),
                    $($gcd)*
                    ..$crate::ColumnDesc::of::<$gty>($gname)
                }),*
            ];
            const _: () = $crate::entity::check(COLUMNS, $key);

            impl $crate::Table for $Model
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type Columns = $Columns;
                const COLS: $Columns = $Columns { $($field: $crate::Col::new($at),)* $($gfield: $crate::Col::new($gat)),* };
                const DESC: $crate::TableDesc = $crate::TableDesc {
                    name: $table,
                    columns: COLUMNS,
                    key: $key,
                    $($desc)*
                };
            }

            impl __p::sea_orm::Iden for $Entity {
                fn unquoted(&self) -> &str { __p::sea_orm::IdenStatic::as_str(self) }
            }
            impl __p::sea_orm::IdenStatic for $Entity {
                fn as_str(&self) -> &'static str { $table }
            }
            impl __p::sea_orm::EntityName for $Entity {
                fn table_name(&self) -> &'static str { $table }
            }
            impl __p::sea_orm::EntityTrait for $Entity
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type Model = $Model;
                type ModelEx = $Model;
                type ActiveModel = $Active;
                type ActiveModelEx = $Active;
                type Column = $Column;
                type Relation = $crate::entity::NoRelation;
                type PrimaryKey = $Key;
            }

            impl __p::sea_orm::Iden for $Column {
                fn unquoted(&self) -> &str { __p::sea_orm::IdenStatic::as_str(self) }
            }
            impl __p::sea_orm::IdenStatic for $Column {
                fn as_str(&self) -> &'static str { match self { $(Self::$Var => $name,)* $(Self::$GVar => $gname),* } }
            }
            impl __p::sea_orm::Iterable for $Column {
                type Iterator = ::std::iter::Copied<::std::slice::Iter<'static, Self>>;
                fn iter() -> Self::Iterator { const ALL: &[$Column] = &[$($Column::$Var,)* $($Column::$GVar),*]; ALL.iter().copied() }
            }
            impl ::std::str::FromStr for $Column {
                type Err = __p::sea_orm::ColumnFromStrErr;
                fn from_str(name: &str) -> __p::Result<Self, Self::Err> {
                    match name { $($name => __p::Result::Ok(Self::$Var),)* $($gname => __p::Result::Ok(Self::$GVar),)* _ => __p::Result::Err(__p::sea_orm::ColumnFromStrErr(__p::String::from(name))) }
                }
            }
            impl __p::sea_orm::ColumnTrait for $Column
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*
            {
                type EntityName = $Entity;
                fn def(&self) -> __p::sea_orm::ColumnDef { match self { $(Self::$Var => $crate::entity::column_def::<$ty>(),)* $(Self::$GVar => $crate::entity::column_def::<$gty>()),* } }
            }

            impl __p::sea_orm::Iden for $Key {
                fn unquoted(&self) -> &str { __p::sea_orm::IdenStatic::as_str(self) }
            }
            impl __p::sea_orm::IdenStatic for $Key {
                fn as_str(&self) -> &'static str { match self { $(Self::$keyvar => __p::sea_orm::IdenStatic::as_str(&$Column::$keyvar)),* } }
            }
            impl __p::sea_orm::Iterable for $Key {
                type Iterator = ::std::iter::Copied<::std::slice::Iter<'static, Self>>;
                fn iter() -> Self::Iterator { const ALL: &[$Key] = &[$($Key::$keyvar),*]; ALL.iter().copied() }
            }
            impl __p::sea_orm::PrimaryKeyTrait for $Key
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type ValueType = $keyty;
                fn auto_increment() -> bool { false }
            }
            impl __p::sea_orm::PrimaryKeyToColumn for $Key
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type Column = $Column;
                fn into_column(self) -> $Column { match self { $(Self::$keyvar => $Column::$keyvar),* } }
                fn from_column(column: $Column) -> __p::Option<Self> {
                    match column { $($Column::$keyvar => __p::Option::Some(Self::$keyvar),)* #[allow(unreachable_patterns)] _ => __p::Option::None }
                }
            }

            impl __p::sea_orm::FromQueryResult for $Model
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)*
            {
                fn from_query_result(row: &__p::sea_orm::QueryResult, pre: &str) -> __p::Result<Self, __p::sea_orm::DbErr> {
                    __p::Result::Ok(Self { $($field: row.try_get(pre, $name)?,)* $($gfield: row.try_get(pre, $gname)?),* })
                }
            }
            impl __p::sea_orm::ModelTrait for $Model
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
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
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                fn default() -> Self { <Self as __p::sea_orm::ActiveModelBehavior>::new() }
            }
            impl ::std::convert::From<$Model> for $Active
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                fn from(model: $Model) -> Self { Self { $($field: __p::sea_orm::ActiveValue::Unchanged(model.$field)),* } }
            }
            impl __p::sea_orm::IntoActiveModel<$Active> for $Model
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                fn into_active_model(self) -> $Active { self.into() }
            }
            impl ::std::convert::TryFrom<$Active> for $Model
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type Error = __p::sea_orm::DbErr;
                fn try_from(active: $Active) -> __p::Result<Self, __p::sea_orm::DbErr> {
                    __p::Result::Ok(Self { $($field: $crate::entity::taken(active.$field, $name)?,)*
                        // An active model does not hold them, so a row made of one alone has none.
                        $($gfield: $crate::entity::unknown($gname)?),*
                    })
                }
            }
            impl __p::sea_orm::TryIntoModel<$Model> for $Active
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                fn try_into_model(self) -> __p::Result<$Model, __p::sea_orm::DbErr> { ::std::convert::TryInto::try_into(self) }
            }
            impl __p::sea_orm::ActiveModelBehavior for $Active
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {}
            impl __p::sea_orm::ActiveModelTrait for $Active
            where $(for<'__c> $ty: $crate::ColumnType,)* $(for<'__c> $gty: $crate::ColumnType,)* for<'__c> $keyty: __p::sea_orm::TryFromU64,
            {
                type Entity = $Entity;
                fn take(&mut self, column: $Column) -> __p::sea_orm::ActiveValue<__p::sea_orm::Value> {
                    match column { $($Column::$Var => ::std::mem::take(&mut self.$field).into_wrapped_value(),)* $($Column::$GVar => __p::sea_orm::ActiveValue::NotSet),* }
                }
                fn get(&self, column: $Column) -> __p::sea_orm::ActiveValue<__p::sea_orm::Value> {
                    match column { $($Column::$Var => ::std::clone::Clone::clone(&self.$field).into_wrapped_value(),)* $($Column::$GVar => __p::sea_orm::ActiveValue::NotSet),* }
                }
                fn set_if_not_equals(&mut self, column: $Column, value: __p::sea_orm::Value) {
                    match column { $($Column::$Var => self.$field.set_if_not_equals(__p::sea_orm::sea_query::ValueType::unwrap(value)),)* $($Column::$GVar => {}),* }
                }
                fn try_set(&mut self, column: $Column, value: __p::sea_orm::Value) -> __p::Result<(), __p::sea_orm::DbErr> {
                    match column { $($Column::$Var => self.$field = __p::sea_orm::ActiveValue::Set($crate::entity::unwrap(value)?),)* $($Column::$GVar => return __p::Result::Err($crate::entity::generated($gname))),* }
                    __p::Result::Ok(())
                }
                fn not_set(&mut self, column: $Column) {
                    match column { $($Column::$Var => self.$field = __p::sea_orm::ActiveValue::NotSet,)* $($Column::$GVar => {}),* }
                }
                fn is_not_set(&self, column: $Column) -> bool {
                    match column { $($Column::$Var => self.$field.is_not_set(),)* $($Column::$GVar => true),* }
                }
                fn default() -> Self { Self { $($field: __p::sea_orm::ActiveValue::NotSet),* } }
                fn default_values() -> Self { <Self as __p::sea_orm::ActiveModelTrait>::default() }
                fn reset(&mut self, column: $Column) {
                    match column { $($Column::$Var => self.$field.reset(),)* $($Column::$GVar => {}),* }
                }
            }
        };
    };
}

use crate::{ColumnDefault, ColumnDesc, ColumnType};
use sea_orm::sea_query::ValueType;
use sea_orm::{ActiveValue, ColumnDef, ColumnTypeTrait, DbErr, RelationDef, RelationTrait, Value};

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

/// Refuses, when the table is compiled, what only types tell: an alias hides them from the macro.
pub const fn check(columns: &[ColumnDesc], key: &[usize]) {
    let mut part = 0;
    while part < key.len() {
        assert!(
            crate::key::has_text(columns[key[part]].sql),
            "a float, bytes, JSON or a list has no one text that a deleted row could be named by, so it cannot be part of the primary \
             key: give the rows an `id` of their own"
        );
        part += 1;
    }
    let mut at = 0;
    while at < columns.len() {
        let column = &columns[at];
        assert!(column.crdt.is_none() || !column.unique, "a CRDT column cannot be unique: take `unique` away");
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

#[cfg(test)]
mod tests {
    //! What `#[nizhal::table]` and `sync_rules!` write, written by hand.
    use crate::{Actor, ColumnDefault, Merge, ParamSource, Principal, Rules, ScopeValue, SyncedTable, Table};
    use sea_orm::{ActiveModelTrait, ActiveValue, DbBackend, EntityTrait, QueryFilter, QueryTrait, Set};

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct Customer {
        id: String,
        shop_id: String,
        phone: Option<String>,
        created_at: crate::DateTimeUtc,
        shout: String,
    }
    crate::__entity! {
        pub(crate) Customer, CustomerEntity, CustomerColumn, CustomerKey, CustomerActive, CustomerColumns;
        desc { name: "customers", key: &[0], merge: Merge::Field, server_only: false, doc: "" }
        key (String) { Id }
        columns {
            0 id Id "id": String {}
            1 shop_id ShopId "shop_id": String {}
            2 phone Phone "phone": Option<String> {}
            3 created_at CreatedAt "created_at": crate::DateTimeUtc { default: Some(ColumnDefault::Now), }
        }
        generated { 4 shout Shout "shout": String { "upper(id)" } }
    }
    impl SyncedTable for Customer {}

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) struct ShopMember {
        shop_id: String,
        user_id: String,
    }
    crate::__entity! {
        pub(crate) ShopMember, ShopMemberEntity, ShopMemberColumn, ShopMemberKey, ShopMemberActive, ShopMemberColumns;
        desc { name: "shop_members", key: &[0, 1], merge: Merge::Lww, server_only: true, doc: "" }
        key ((String, String)) { ShopId UserId }
        columns {
            0 shop_id ShopId "shop_id": String {}
            1 user_id UserId "user_id": String {}
        }
        generated {}
    }

    #[derive(Clone, serde::Serialize, serde::Deserialize)]
    struct Claims {
        user_id: String,
        owner_id: String,
    }
    impl Actor for Claims {
        fn user_id(&self) -> &str {
            &self.user_id
        }
        fn owner_id(&self) -> &str {
            &self.owner_id
        }
    }

    #[test]
    fn plain_sea_orm_queries_run_on_it() {
        let sql = Customer::find_by_id("c1".to_owned()).build(DbBackend::Postgres).to_string();
        assert!(sql.ends_with(r#"FROM "customers" WHERE "customers"."id" = 'c1'"#), "{sql}");
        let sql = ShopMember::find_by_id(("s".to_owned(), "u".to_owned())).build(DbBackend::Sqlite).to_string();
        assert!(sql.ends_with(r#"WHERE "shop_members"."shop_id" = 's' AND "shop_members"."user_id" = 'u'"#), "{sql}");
        let active = CustomerActive { id: Set("c1".to_owned()), ..Default::default() };
        let sql = CustomerEntity::insert(active.clone()).build(DbBackend::Postgres).to_string();
        assert_eq!(sql, r#"INSERT INTO "customers" ("id") VALUES ('c1')"#);
        assert_eq!(active.get(CustomerColumn::Phone), ActiveValue::NotSet);
        let mut active = active;
        let error = active.try_set(CustomerColumn::Shout, "X".into()).unwrap_err().to_string();
        assert!(error.contains("the database generates `shout`"), "{error}");
        let sql = Customer::delete_many()
            .filter(sea_orm::ColumnTrait::eq(&CustomerColumn::ShopId, "s"))
            .build(DbBackend::Postgres)
            .to_string();
        assert_eq!(sql, r#"DELETE FROM "customers" WHERE "customers"."shop_id" = 's'"#);
    }

    #[test]
    #[should_panic(expected = "a CRDT column cannot be unique")]
    fn an_alias_does_not_hide_a_unique_document() {
        const COLUMN: crate::ColumnDesc = crate::ColumnDesc {
            crdt: Some(crate::Crdt::Text),
            unique: true,
            ..*Customer::DESC.columns.first().unwrap()
        };
        super::check(&[COLUMN], &[]);
    }

    #[test]
    #[should_panic(expected = "cannot be part of the primary key")]
    fn inv40_an_alias_does_not_hide_a_key_without_a_text() {
        super::check(&[crate::ColumnDesc::of::<f64>("weight")], &[0]);
    }

    #[test]
    #[should_panic(expected = "the default is none of the enum's texts")]
    fn a_default_is_one_of_the_enums_texts() {
        let column = |default| crate::ColumnDesc {
            texts: &["open", "closed"],
            default: Some(ColumnDefault::Text(default)),
            ..crate::ColumnDesc::of::<String>("status")
        };
        let check = |default| super::check(&[column(default)], &[]);
        check("closed");
        check("close");
    }

    #[test]
    fn descriptions_and_rules_are_data() {
        assert_eq!(Customer::DESC.key_columns().map(|column| column.name).collect::<Vec<_>>(), ["id"]);
        assert!(Customer::DESC.column("phone").unwrap().nullable);
        let rules = Rules::<Claims>::new().rule("myShops", "", |rule| {
            let shop_id = rule.member("shop_id", ShopMember::COLS.shop_id, |member| {
                member.actor(ShopMember::COLS.user_id, |actor: &Claims| &actor.user_id);
            });
            rule.table::<Customer>(|table| table.scope(Customer::COLS.shop_id, &shop_id));
        });
        let rules = rules.into_inner();
        assert_eq!(rules[0].tables[0].scope, [1]);
        let ParamSource::Member { filters, .. } = &rules[0].params[0].source else { panic!() };
        let crate::MemberFilter::Claim { claim, .. } = &filters[0] else { panic!() };
        let actor = Claims { user_id: "u".into(), owner_id: "o".into() };
        assert_eq!(claim.get(&Principal::new(actor, None)), Some(ScopeValue::Text("u".into())));
    }
}
