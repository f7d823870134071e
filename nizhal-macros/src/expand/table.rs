//! A table: the struct, one `__entity!` call with a line a column, and the mark of a synced table.

use crate::report::{report, strip};
use nizhal_syntax::ast::{Default, Merge, parse_table};
use nizhal_syntax::check::check_table;
use nizhal_syntax::model::{Derives, Table, TableColumn, lower_table};
use nizhal_syntax::{Errors, name};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};
use syn::ItemStruct;

pub(crate) fn expand_table(attr: TokenStream, item: TokenStream) -> TokenStream {
    let errors = Errors::new();
    let Some(ast) = parse_table(attr, item.clone(), &errors) else { return report(errors, strip(item)) };
    let table = lower_table(ast);
    let understood = errors.count();
    check_table(&table, &errors);
    let expanded = if errors.count() == understood { expand(&table) } else { expand_struct(&table.item) };
    report(errors, expanded)
}

fn expand(table: &Table) -> TokenStream {
    let (item, ident) = (expand_struct(&table.item), &table.item.ident);
    let entity = expand_entity(table);
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

fn expand_entity(table: &Table) -> TokenStream {
    let Table { name, doc, server_only, .. } = table;
    let (vis, ident) = (&table.item.vis, &table.item.ident);
    let plain = name::plain(ident);
    let beside = ["Entity", "Column", "Key", "Active", "Columns"]
        .map(|suffix| format_ident!("{plain}{suffix}", span = ident.span()));
    let key = table.key.iter().map(|&at| Literal::usize_unsuffixed(at));
    let key_type = expand_key_type(table);
    let key_variants = table.key_columns().map(|column| &column.variant);
    let all = table.columns.iter().enumerate();
    let columns = all.clone().filter(|(_, column)| column.generated.is_none()).map(expand_column);
    let generated = all.filter(|(_, column)| column.generated.is_some()).map(expand_column);
    let merge = match table.merge {
        Merge::Lww => quote!(::nizhal::Merge::Lww),
        Merge::Field => quote!(::nizhal::Merge::Field),
    };
    quote! {
        ::nizhal::__entity! {
            #vis #ident, #(#beside),*;
            desc { name: #name, key: &[#(#key),*], merge: #merge, server_only: #server_only, doc: #doc }
            key (#key_type) { #(#key_variants)* }
            columns { #(#columns)* }
            generated { #(#generated)* }
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

/// The column's names and type, and what is said of it beyond them.
fn expand_column((at, column): (usize, &TableColumn)) -> TokenStream {
    let TableColumn { field, variant, name, ty, doc, generated, .. } = column;
    let at = Literal::usize_unsuffixed(at);
    let default = column.default.as_ref().map(|default| {
        let default = expand_default(default);
        quote!(default: ::nizhal::__private::Option::Some(::nizhal::ColumnDefault::#default),)
    });
    let unique = column.unique.as_ref().map(|_| quote!(unique: true,));
    let private = column.private.as_ref().map(|_| quote!(private: true,));
    let doc = (!doc.is_empty()).then(|| quote!(doc: #doc,));
    quote!(#at #field #variant #name: #ty { #generated #default #unique #private #doc })
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
