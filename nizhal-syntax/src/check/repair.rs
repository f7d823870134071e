//! The table that stands for one which the check refused: as if its mistakes were mended, so that the app's rules and mutators find the
//! table that they name, and one mistake is one error.

use super::{blob::is_inside, column::instead_of};
use crate::model::{Table, TableColumn, ty};
use proc_macro2::Ident;
use quote::format_ident;
use std::collections::HashSet;
use syn::{Fields, LitStr, Type, parse_quote};

/// The types of ours that the help of a mistake names, which an app need not have imported.
const OURS: [&str; 2] = ["DateTimeUtc", "Decimal"];

/// The table with its mistakes mended as their help says; nothing where it cannot be a table at all.
#[must_use]
pub fn repaired_table(table: &Table) -> Option<Table> {
    let mut table = table.clone();
    if !table.item.generics.params.is_empty() {
        return None;
    }
    let (mut variants, mut names) = (HashSet::new(), HashSet::new());
    for (at, column) in table.columns.iter_mut().enumerate() {
        (column.default, column.unique, column.crdt_root) = (None, None, None);
        repair_type(column);
        let is_new = variants.insert(column.variant.to_string());
        if !names.insert(column.name.value().to_lowercase()) || !is_new {
            column.variant = format_ident!("{}{at}", column.variant);
            column.name = LitStr::new(&format!("{}_{at}", column.name.value()), column.name.span());
        }
    }
    repair_key(&mut table)?;
    if let Fields::Named(named) = &mut table.item.fields {
        for field in &mut named.named {
            field.attrs.retain(|attr| !attr.path().is_ident("cfg"));
            let column = table.columns.iter().find(|column| Some(&column.field) == field.ident.as_ref());
            if let Some(column) = column {
                field.ty = column.ty.clone();
            }
        }
    }
    Some(table)
}

fn repair_type(column: &mut TableColumn) {
    let inner = ty::without_option(&column.ty);
    let is_optional = !std::ptr::eq(inner, &raw const column.ty);
    let Some(instead) = held(inner) else { return };
    column.ty = if is_optional { parse_quote!(::core::option::Option<#instead>) } else { instead };
}

/// The type to write in the place of one that no column has.
fn held(ty: &Type) -> Option<Type> {
    if let Some(inner) = ty::argument_of(ty, "Option") {
        return Some(held(inner).unwrap_or_else(|| inner.clone()));
    }
    if is_inside(ty) {
        return Some(parse_quote!(::nizhal::BlobRef));
    }
    let text = instead_of(ty)?;
    // What is in it may lack what JSON takes, which would be another mistake.
    if text.starts_with("Json<") {
        return Some(parse_quote!(::nizhal::Json<::nizhal::__private::serde_json::Value>));
    }
    syn::parse_str(&if OURS.contains(&&*text) { format!("::nizhal::{text}") } else { text }).ok()
}

/// Leaves the columns in the key that a key can have, or takes the first of the table that can be one.
fn repair_key(table: &mut Table) -> Option<()> {
    for column in table.columns.iter_mut().filter(|column| column.primary_key.is_some()) {
        if let Some(inner) = ty::argument_of(&column.ty, "Option") {
            column.ty = inner.clone();
        }
        if !can_be_key(column) {
            column.primary_key = None;
        }
    }
    if table.key_columns().next().is_none() {
        let mut columns: Vec<&mut TableColumn> = table.columns.iter_mut().filter(|column| can_be_key(column)).collect();
        let at = columns.iter().position(|column| column.field == "id").unwrap_or(0);
        let column = columns.get_mut(at)?;
        column.primary_key = Some(Ident::new("primary_key", column.field.span()));
    }
    Some(())
}

/// Whether the name of a column's type does not say that it is none of a key.
fn can_be_key(column: &TableColumn) -> bool {
    let never = |name: String| {
        matches!(name.as_str(), "Option" | "Json" | "Vec" | "f32" | "f64")
            || name == ty::BLOB_TYPE
            || ty::CRDT_TYPES.contains(&name.as_str())
    };
    column.generated.is_none() && ty::name(&column.ty).is_some_and(|name| !never(name))
}
