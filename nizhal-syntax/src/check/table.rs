//! Judges a table: its shape, its key and its names.

use super::blob::check_blob;
use super::column::{check_crdt, check_default, check_engine_type, check_key_type, check_type};
use super::generated::check_generated;
use super::replay::check_replayed;
use crate::model::{Table, TableColumn, ty};
use crate::{Code, Errors, name};
use quote::ToTokens;
use std::collections::HashMap;

const MAX_KEY_COLUMNS: usize = 4;
const MAX_NAME_BYTES: usize = 63;

/// Reports what is wrong with a table.
pub fn check_table(table: &Table, errors: &Errors) {
    check_generics(table, errors);
    check_key(table, errors);
    check_name(&table.name, &table.name.value(), "table", errors);
    check_duplicates(table, errors);
    check_replayed(table, errors);
    for column in &table.columns {
        check_name(column.name_at(), &column.name.value(), "column", errors);
        check_conditional(column, errors);
        check_type(column, errors);
        check_crdt(column, errors);
        check_blob(column, errors);
        check_key_type(column, errors);
        check_generated(column, errors);
        check_engine_type(column, errors);
        check_default(column, errors);
    }
}

fn check_generics(table: &Table, errors: &Errors) {
    if !table.item.generics.params.is_empty() {
        errors.push(
            Code::TableGeneric,
            &table.item.generics,
            "a table cannot be generic",
            "write a struct for each table",
        );
    }
}

fn check_key(table: &Table, errors: &Errors) {
    let key: Vec<&TableColumn> = table.key_columns().collect();
    // A word that was not understood may be the one that is missed.
    if key.is_empty() && errors.count() == 0 {
        let field = table.columns.first().map_or_else(|| "id".to_owned(), |column| name::plain(&column.field));
        let what = format!("table `{}` has no primary key", table.item.ident);
        errors.push(
            Code::NoKey,
            &table.item.ident,
            what,
            format!("write `#[nizhal(primary_key)]` above a field, for example `{field}`"),
        );
    }
    if let Some(extra) = key.get(MAX_KEY_COLUMNS) {
        let what = format!("a primary key has at most {MAX_KEY_COLUMNS} columns");
        errors.push(Code::KeyTooLong, &extra.field, what, "give the rows an `id` of their own");
    }
    for column in &key {
        if let Some(inner) = ty::argument_of(&column.ty, "Option") {
            let what = "a column of the primary key cannot be empty";
            errors.push(
                Code::KeyOptional,
                &column.ty,
                what,
                format!("write `{}: {}`", column.field, inner.to_token_stream()),
            );
        }
        if let Some(private) = &column.private {
            let what = "the primary key cannot be private: devices name rows by it";
            errors.push(Code::KeyPrivate, private, what, "take `private` away, or mark the table `server_only`");
        }
    }
    if let [TableColumn { unique: Some(unique), .. }] = key[..] {
        errors.push(Code::KeyUnique, unique, "a primary key is unique already", "take `unique` away");
    }
}

fn check_name(at: &(impl ToTokens + ?Sized), name: &str, what: &str, errors: &Errors) {
    let plain = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    if name.is_empty() || !plain || name.starts_with(|first: char| first.is_ascii_digit()) {
        errors.push(
            Code::BadName,
            at,
            format!("\"{name}\" cannot be the name of a {what}"),
            "write letters, digits and `_`, no digit first",
        );
    } else if name.len() > MAX_NAME_BYTES {
        errors.push(
            Code::LongName,
            at,
            format!("the name of a {what} has at most {MAX_NAME_BYTES} bytes"),
            "write a shorter name",
        );
    } else if name.starts_with("_nizhal") || (what == "column" && name == "_meta") {
        let what = format!("the {what} name \"{name}\" is reserved for the sync engine");
        errors.push(
            Code::ReservedName,
            at,
            what,
            "write another name: `_meta` and names that begin with `_nizhal` are taken",
        );
    }
}

fn check_duplicates(table: &Table, errors: &Errors) {
    let mut seen: HashMap<String, &TableColumn> = HashMap::new();
    for column in &table.columns {
        let name = column.name.value();
        // SQLite and the enum of columns tell no more apart than this.
        let folded = format!("{}\0", name.to_lowercase());
        let variant = column.variant.to_string();
        if let Some(first) = seen.get(&folded).or_else(|| seen.get(&variant)) {
            let what = format!("column \"{name}\" is there already, from field `{}`", first.field);
            errors.push(
                Code::ColumnTwice,
                column.name_at(),
                what,
                "give one of them another name with `#[nizhal(rename = \"…\")]`",
            );
        }
        seen.entry(folded).or_insert(column);
        seen.entry(variant).or_insert(column);
    }
}

fn check_conditional(column: &TableColumn, errors: &Errors) {
    for attr in column.attrs.iter().filter(|attr| attr.path().is_ident("cfg")) {
        errors.push(
            Code::ColumnConditional,
            attr,
            "a column cannot be conditional: every build must see the same table",
            "take `#[cfg(…)]` away",
        );
    }
}
