//! An id: what it is around, and what to derive.

use super::{Derives, ty};
use crate::{Code, Errors, ast};
use syn::{Fields, ItemStruct, Type};

/// A newtype that names rows of one kind.
#[derive(Debug)]
pub struct Id {
    /// The struct.
    pub item: ItemStruct,
    /// What is inside; `None` when it is not one unnamed field.
    pub inner: Option<Type>,
    /// What is not derived yet.
    pub derives: Derives,
}

/// The types that ids are around.
pub const INNER_TYPES: &[&str] = &["String", "Uuid", "i16", "i32", "i64"];

/// Sees what is inside.
pub fn lower_id(id: ast::Id, errors: &Errors) -> Id {
    let inner = match &id.item.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Some(fields.unnamed[0].ty.clone()),
        _ => {
            let help = format!("write `struct {}(String);`", id.item.ident);
            errors.push(Code::IdShape, &id.item.ident, "an id is a struct around one value without a name", help);
            None
        }
    };
    // Numbers and UUIDs are copied; a text is not.
    let copy = inner.as_ref().and_then(ty::name).is_some_and(|name| name != "String");
    let all = [
        "Clone",
        "Debug",
        "PartialEq",
        "Eq",
        "PartialOrd",
        "Ord",
        "Hash",
        "Serialize",
        "Deserialize",
        "JsonSchema",
        "Copy",
    ];
    let wanted = if copy { &all[..] } else { &all[..all.len() - 1] };
    Id { derives: Derives::of(&id.item.attrs, wanted), inner, item: id.item }
}
