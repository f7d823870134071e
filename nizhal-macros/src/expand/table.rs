//! A table: the struct, one `__entity!` call with a line a column, and the mark of a synced table.

use crate::stages::{expand_with, strip};
use nizhal_syntax::ast::{Default, Merge, parse_table};
use nizhal_syntax::check::{check_table, repaired_table};
use nizhal_syntax::model::{Derives, Table, TableColumn, lower_table};
use nizhal_syntax::name;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::ItemStruct;

pub(crate) fn expand_table(attr: TokenStream, item: TokenStream) -> TokenStream {
    let parse = |errors: &_| parse_table(attr, item.clone(), errors).ok_or_else(|| strip(item));
    expand_with(parse, |ast, _| lower_table(ast), check_table, expand_read, expand_fallback)
}

/// The table as it was read; without a key, a word that was not understood is told of, and what it left out is mended.
fn expand_read(table: &Table) -> TokenStream {
    match table.key_columns().next() {
        Some(_) => expand(table, false),
        None => expand_fallback(table),
    }
}

/// The table with its mistakes mended, so that what names it finds a table; or the struct alone.
fn expand_fallback(table: &Table) -> TokenStream {
    repaired_table(table).map_or_else(|| expand_struct(&table.item), |repaired| expand(&repaired, true))
}

/// The struct and what stands beside it. What only types tell is not looked at where the table `is_repaired`: it is told of already.
fn expand(table: &Table, is_repaired: bool) -> TokenStream {
    let (item, ident) = (expand_struct(&table.item), &table.item.ident);
    let entity = expand_entity(table, is_repaired);
    let synced = (!table.server_only).then(|| quote!(impl ::nizhal::SyncedTable for #ident {}));
    quote! {
        #item
        #entity
        #synced
    }
}

fn expand_struct(item: &ItemStruct) -> TokenStream {
    let derives = Derives::of(&item.attrs, &["Clone", "Debug", "PartialEq"]);
    let paths = derives.names().iter().map(|name| match *name {
        "Clone" => quote!(::core::clone::Clone),
        "Debug" => quote!(::core::fmt::Debug),
        _ => quote!(::core::cmp::PartialEq),
    });
    quote! {
        #[derive(#(#paths),*)]
        #item
    }
}

fn expand_entity(table: &Table, is_repaired: bool) -> TokenStream {
    let Table { name, doc, server_only, .. } = table;
    let (vis, ident) = (&table.item.vis, &table.item.ident);
    let plain = name::plain(ident);
    let [entity, column, key, active, handles] = ["Entity", "Column", "Key", "Active", "Columns"]
        .map(|suffix| format_ident!("{plain}{suffix}", span = ident.span()));
    let key_type = expand_key_type(table);
    let key_columns = table.key_columns().map(|column| &column.variant);
    let columns = table.columns.iter().filter(|column| column.generated.is_none()).map(expand_column);
    let generated = table.columns.iter().filter(|column| column.generated.is_some()).map(expand_column);
    let merge = match table.merge {
        Merge::Lww => quote!(::nizhal::Merge::Lww),
        Merge::Field => quote!(::nizhal::Merge::Field),
        Merge::Replay => quote!(::nizhal::Merge::Replay),
    };
    let repaired = is_repaired.then(|| quote!(repaired: true,));
    quote! {
        ::nizhal::__entity! {
            model: #vis #ident,
            entity: #entity,
            column: #column,
            key: #key,
            active: #active,
            handles: #handles,
            table: { name: #name, merge: #merge, server_only: #server_only, doc: #doc },
            key_type: #key_type,
            key_columns: [#(#key_columns),*],
            columns: [#(#columns),*],
            generated: [#(#generated),*],
            #repaired
        }
    }
}

/// The type itself for one column, a tuple for several.
fn expand_key_type(table: &Table) -> TokenStream {
    let types: Vec<_> = table.key_columns().map(|column| &column.ty).collect();
    match types[..] {
        [ty] => quote!(#ty),
        _ => quote!((#(#types),*)),
    }
}

/// The column's field and type, its other names, and what is said of it beyond them.
fn expand_column(column: &TableColumn) -> TokenStream {
    let TableColumn { field, variant, name, ty, doc, generated, crdt_root, .. } = column;
    let default = column.default.as_ref().map(|default| {
        let default = expand_default(default);
        quote!(, default: ::nizhal::__private::Option::Some(::nizhal::ColumnDefault::#default))
    });
    let sql = generated.as_ref().map(|sql| quote!(, sql: #sql));
    let unique = column.unique.as_ref().map(|_| quote!(, unique: true));
    let root = crdt_root.as_ref().map(|root| quote!(, crdt_root: ::nizhal::__private::Option::Some(#root)));
    let private = column.private.as_ref().map(|_| quote!(, private: true));
    let doc = (!doc.is_empty()).then(|| quote!(, doc: #doc));
    quote!(#field: #ty = { variant: #variant, name: #name #sql #default #unique #private #root #doc })
}

fn expand_default(default: &Default) -> TokenStream {
    match default {
        Default::Now(_) => quote!(Now),
        Default::Text(text) => quote!(Text(#text)),
        Default::Int(number, false) => quote!(Int(#number)),
        Default::Int(number, true) => quote!(Int(-#number)),
        Default::Bool(flag) => quote!(Bool(#flag)),
    }
}
