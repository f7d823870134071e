//! `#[nizhal::table]` as written.

use super::attr::{Value, Word, keyword, parse_words, take_words};
use crate::{Code, Errors, symbol};
use proc_macro2::{Ident, TokenStream};
use syn::{Expr, ExprLit, ExprUnary, Fields, Item, ItemStruct, Lit, LitBool, LitInt, LitStr, Type, UnOp};

/// A table.
#[derive(Debug)]
pub struct Table {
    /// The struct, without `#[nizhal(…)]` attributes.
    pub item: ItemStruct,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `merge = "…"`
    pub merge: Option<LitStr>,
    /// `server_only`
    pub server_only: Option<Ident>,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub ident: Ident,
    /// Its type.
    pub ty: Type,
    /// Its other attributes.
    pub attrs: Vec<syn::Attribute>,
    /// `primary_key`
    pub primary_key: Option<Ident>,
    /// `unique`
    pub unique: Option<Ident>,
    /// `private`
    pub private: Option<Ident>,
    /// `default = …`
    pub default: Option<Default>,
    /// `rename = "…"`
    pub rename: Option<LitStr>,
    /// `generated = "…"`
    pub generated: Option<LitStr>,
}

/// A default.
#[derive(Clone, Debug)]
pub enum Default {
    /// `now`
    Now(Ident),
    /// `"…"`
    Text(LitStr),
    /// `1`, `-1`; the flag says whether it is negative.
    Int(LitInt, bool),
    /// `true`, `false`
    Bool(LitBool),
}

/// Reads the attribute and its item; `None` when the item is not a struct with named fields.
pub fn parse_table(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Table> {
    let words = parse_words(attr, "`#[nizhal::table]`", symbol::TABLE_WORDS, errors);
    let mut item = match syn::parse2::<Item>(item) {
        Ok(Item::Struct(item)) => item,
        Ok(other) => {
            errors.push_span(
                Code::TableKind,
                keyword(&other),
                "a table is a struct",
                "write `struct Name { … }` with a field for each column",
            );
            return None;
        }
        Err(error) => {
            errors.syntax(error);
            return None;
        }
    };
    let Fields::Named(named) = &mut item.fields else {
        errors.push(
            Code::UnnamedColumns,
            &item.ident,
            "a table's columns need names",
            "write `struct Name { id: String, … }`",
        );
        return None;
    };
    let fields = named.named.iter_mut().filter_map(|field| parse_field(field, errors)).collect();
    let mut table = Table { item, name: None, merge: None, server_only: None, fields };
    for word in words {
        if word.is(symbol::NAME) {
            table.name = word.text(errors);
        } else if word.is(symbol::MERGE) {
            table.merge = word.text(errors);
        } else {
            table.server_only = word.flag(errors);
        }
    }
    Some(table)
}

fn parse_field(field: &mut syn::Field, errors: &Errors) -> Option<Field> {
    let words = take_words(&mut field.attrs, "a field", symbol::FIELD_WORDS, errors);
    let mut parsed = Field {
        ident: field.ident.clone()?,
        ty: field.ty.clone(),
        attrs: field.attrs.clone(),
        primary_key: None,
        unique: None,
        private: None,
        default: None,
        rename: None,
        generated: None,
    };
    for word in words {
        if word.is(symbol::PRIMARY_KEY) {
            parsed.primary_key = word.flag(errors);
        } else if word.is(symbol::UNIQUE) {
            parsed.unique = word.flag(errors);
        } else if word.is(symbol::PRIVATE) {
            parsed.private = word.flag(errors);
        } else if word.is(symbol::DEFAULT) {
            parsed.default = parse_default(word, errors);
        } else if word.is(symbol::GENERATED) {
            parsed.generated = word.text(errors);
        } else {
            parsed.rename = word.text(errors);
        }
    }
    Some(parsed)
}

fn parse_default(word: Word, errors: &Errors) -> Option<Default> {
    const HELP: &str = "write `default = now`, `default = \"text\"`, `default = 1` or `default = true`";
    let Value::Eq(value) = word.value else {
        errors.push(Code::DefaultWithoutValue, word.ident, "`default` needs a value", HELP);
        return None;
    };
    match &*value {
        Expr::Path(path) if path.path.is_ident("now") => return path.path.get_ident().cloned().map(Default::Now),
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => return Some(Default::Text(text.clone())),
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => return Some(Default::Int(number.clone(), false)),
        Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => return Some(Default::Bool(flag.clone())),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
            if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = &**expr {
                return Some(Default::Int(number.clone(), true));
            }
        }
        _ => {}
    }
    errors.push(Code::DefaultUnreadable, &value, "this cannot be a default", HELP);
    None
}
