//! A table: its names, its key and its columns.

use crate::ast::{self, Default, Merge, attr};
use crate::name;
use proc_macro2::{Ident, Span};
use quote::{ToTokens, format_ident};
use syn::{Attribute, ItemStruct, LitStr, Type};

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// The struct, without `#[nizhal(…)]` attributes.
    pub item: ItemStruct,
    /// The name in SQL and on the wire.
    pub name: LitStr,
    /// How concurrent writes are merged.
    pub merge: Merge,
    /// Whether no rule may sync it.
    pub server_only: bool,
    /// The doc comment.
    pub doc: String,
    /// The columns, in order, those that the database generates after all others.
    pub columns: Vec<TableColumn>,
}

/// A column.
#[derive(Clone, Debug)]
pub struct TableColumn {
    /// The field.
    pub field: Ident,
    /// The variant of the column enum.
    pub variant: Ident,
    /// The name in SQL and on the wire, spanned at what the user wrote.
    pub name: LitStr,
    /// The type.
    pub ty: Type,
    /// `primary_key`
    pub primary_key: Option<Ident>,
    /// What an insert without it writes.
    pub default: Option<Default>,
    /// `unique`
    pub unique: Option<Ident>,
    /// `private`
    pub private: Option<Ident>,
    /// The SQL that the database computes it by.
    pub generated: Option<LitStr>,
    /// The name of the shared type that its documents keep.
    pub crdt_root: Option<LitStr>,
    /// The doc comment.
    pub doc: String,
    /// The field's other attributes.
    pub attrs: Vec<Attribute>,
}

impl Table {
    /// The primary key's columns.
    pub fn key_columns(&self) -> impl Iterator<Item = &TableColumn> {
        self.columns.iter().filter(|column| column.primary_key.is_some())
    }
}

impl TableColumn {
    /// Where the name was written: at `rename`, or at the field.
    pub fn name_at(&self) -> &dyn ToTokens {
        if self.name.value() == name::plain(&self.field) { &self.field } else { &self.name }
    }
}

/// Applies the defaults.
pub fn lower_table(mut table: ast::Table) -> Table {
    table.fields.sort_by_key(|field| field.generated.is_some());
    let ident = &table.item.ident;
    let default_name = || LitStr::new(&name::snake(&name::plain(ident)), ident.span());
    Table {
        name: table.name.unwrap_or_else(default_name),
        merge: table.merge.unwrap_or(Merge::Lww),
        server_only: table.server_only.is_some(),
        doc: attr::doc(&table.item.attrs),
        columns: table.fields.into_iter().map(lower_field).collect(),
        item: table.item,
    }
}

fn lower_field(field: ast::Field) -> TableColumn {
    let plain = name::plain(&field.ident);
    TableColumn {
        variant: variant(&plain, field.ident.span()),
        name: field.rename.unwrap_or_else(|| LitStr::new(&plain, field.ident.span())),
        field: field.ident,
        ty: field.ty,
        primary_key: field.primary_key,
        default: field.default,
        unique: field.unique,
        private: field.private,
        generated: field.generated,
        crdt_root: field.crdt_root,
        doc: attr::doc(&field.attrs),
        attrs: field.attrs,
    }
}

/// `client_id` as `ClientId`; what would be no identifier gets an underscore.
fn variant(plain: &str, span: Span) -> Ident {
    let pascal = name::pascal(plain);
    match pascal.as_str() {
        "Self" => Ident::new("Self_", span),
        "" => Ident::new("Column", span),
        _ if pascal.starts_with(|first: char| first.is_ascii_digit()) => format_ident!("_{pascal}", span = span),
        _ => Ident::new(&pascal, span),
    }
}
