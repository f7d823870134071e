//! The trait behind `#[nizhal::table]`: a sea-orm entity with a description and typed handles.

use crate::TableDesc;
use sea_orm::{
    ActiveModelTrait, DeleteMany, EntityTrait, InsertMany, ModelTrait, PrimaryKeyTrait, Select, UpdateMany,
    ValidatedDeleteOne,
};

pub(crate) type KeyOf<T> = <<<T as ModelTrait>::Entity as EntityTrait>::PrimaryKey as PrimaryKeyTrait>::ValueType;

/// A struct annotated with `#[nizhal::table]`.
///
/// The struct is the sea-orm *model*; the entity, column, key and active-model types stand beside it as
/// `CustomerEntity`, `CustomerColumn`, `CustomerKey` and `CustomerActive`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    label = "not annotated",
    note = "annotate the struct with #[nizhal::table]"
)]
pub trait Table: ModelTrait + Sized + 'static {
    /// The struct of typed column handles.
    type Columns: 'static;
    /// The typed column handles.
    const COLS: Self::Columns;
    /// What the runtime knows of this table.
    const DESC: TableDesc;

    /// A query over this table's rows.
    fn find() -> Select<Self::Entity> {
        <Self::Entity as EntityTrait>::find()
    }

    /// A query for the row with this primary key; a tuple where the key is composite.
    fn find_by_id(key: impl Into<KeyOf<Self>>) -> Select<Self::Entity> {
        <Self::Entity as EntityTrait>::find_by_id(key)
    }

    /// One insert of all these rows.
    fn insert_many<A>(rows: impl IntoIterator<Item = A>) -> InsertMany<A>
    where
        A: ActiveModelTrait<Entity = Self::Entity>,
    {
        <Self::Entity as EntityTrait>::insert_many(rows)
    }

    /// A bulk update of this table's rows.
    fn update_many() -> UpdateMany<Self::Entity> {
        <Self::Entity as EntityTrait>::update_many()
    }

    /// A delete of the row with this primary key; a tuple where the key is composite.
    fn delete_by_id(key: impl Into<KeyOf<Self>>) -> ValidatedDeleteOne<Self::Entity> {
        <Self::Entity as EntityTrait>::delete_by_id(key)
    }

    /// A bulk delete of this table's rows.
    fn delete_many() -> DeleteMany<Self::Entity> {
        <Self::Entity as EntityTrait>::delete_many()
    }
}

/// A [`Table`] that rules may sync: one not marked `server_only`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` may not be synced",
    label = "this table stays on the server",
    note = "the table is marked `server_only`: sync another table, or take the mark away if every column may reach devices"
)]
pub trait SyncedTable {}
