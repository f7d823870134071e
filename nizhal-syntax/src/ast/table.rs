//! `#[nizhal::table]` as written.

use super::attr::keyword;
use super::word::{Said, UnknownWords, Value, parse_words, take_words};
use crate::{Code, Errors, symbol};
use darling::FromMeta;
use proc_macro2::{Ident, TokenStream};
use syn::{Expr, ExprLit, ExprUnary, Fields, Item, ItemStruct, Lit, LitBool, LitInt, LitStr, Meta, Type, UnOp};

/// A table.
#[derive(Debug)]
pub struct Table {
    /// The struct, without `#[nizhal(…)]` attributes.
    pub item: ItemStruct,
    /// `name = "…"`
    pub name: Option<LitStr>,
    /// `merge = "…"`
    pub merge: Option<Merge>,
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
    /// `crdt_root = "…"`
    pub crdt_root: Option<LitStr>,
}

/// How concurrent writes are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The last commit wins.
    Lww,
    /// Each column by its stamp.
    Field,
    /// Late mutations take their place in time, and what came after them runs again.
    Replay,
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

#[derive(FromMeta)]
struct TableWords {
    #[darling(multiple)]
    name: Said<LitStr>,
    #[darling(multiple)]
    merge: Said<Merge>,
    #[darling(multiple)]
    server_only: Said<()>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

#[derive(FromMeta)]
struct FieldWords {
    #[darling(multiple)]
    primary_key: Said<()>,
    #[darling(multiple)]
    unique: Said<()>,
    #[darling(multiple)]
    private: Said<()>,
    #[darling(multiple)]
    default: Said<Default>,
    #[darling(multiple)]
    rename: Said<LitStr>,
    #[darling(multiple)]
    generated: Said<LitStr>,
    #[darling(multiple)]
    crdt_root: Said<LitStr>,
    #[darling(flatten)]
    unknown: UnknownWords,
}

/// Reads the attribute and its item; `None` when the item is not a struct with named fields.
pub fn parse_table(attr: TokenStream, item: TokenStream, errors: &Errors) -> Option<Table> {
    let words: TableWords = parse_words(attr, errors)?;
    errors.unknown(words.unknown, "`#[nizhal::table]`", symbol::TABLE_WORDS);
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
    Some(Table {
        item,
        name: errors.value(words.name),
        merge: errors.value(words.merge),
        server_only: errors.flag(words.server_only),
        fields,
    })
}

fn parse_field(field: &mut syn::Field, errors: &Errors) -> Option<Field> {
    let words: FieldWords = take_words(&mut field.attrs, symbol::PRIMARY_KEY, errors)?;
    errors.unknown(words.unknown, "`#[nizhal(…)]` on a field", symbol::FIELD_WORDS);
    Some(Field {
        ident: field.ident.clone()?,
        ty: field.ty.clone(),
        attrs: field.attrs.clone(),
        primary_key: errors.flag(words.primary_key),
        unique: errors.flag(words.unique),
        private: errors.flag(words.private),
        default: errors.value(words.default),
        rename: errors.value(words.rename),
        generated: errors.value(words.generated),
        crdt_root: errors.value(words.crdt_root),
    })
}

impl Value for Merge {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        let text = LitStr::read(word, meta)?;
        match text.value().as_str() {
            "lww" => Ok(Self::Lww),
            "field" => Ok(Self::Field),
            "replay" => Ok(Self::Replay),
            other => {
                let help = "write \"lww\" (the last commit wins), \"field\" (each column by its own clock) or \"replay\" (mutations \
                    take effect in the order they were made)";
                Err(Code::UnknownMerge.error_at(text, format!("there is no merge policy \"{other}\""), help))
            }
        }
    }
}

impl Value for Default {
    fn read(word: &Ident, meta: &Meta) -> syn::Result<Self> {
        const HELP: &str = "write `default = now`, `default = \"text\"`, `default = 1` or `default = true`";
        let Meta::NameValue(pair) = meta else {
            return Err(Code::DefaultWithoutValue.error_at(word, "`default` needs a value", HELP));
        };
        match &pair.value {
            Expr::Path(path) if path.path.is_ident("now") => {
                if let Some(now) = path.path.get_ident() {
                    return Ok(Self::Now(now.clone()));
                }
            }
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => return Ok(Self::Text(text.clone())),
            Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => return Ok(Self::Int(number.clone(), false)),
            Expr::Lit(ExprLit { lit: Lit::Bool(flag), .. }) => return Ok(Self::Bool(flag.clone())),
            Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => {
                if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = &**expr {
                    return Ok(Self::Int(number.clone(), true));
                }
            }
            _ => {}
        }
        Err(Code::DefaultUnreadable.error_at(&pair.value, "this cannot be a default", HELP))
    }
}
