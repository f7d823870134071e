//! Judges an id: what it is around.

use crate::model::id::{INNER_TYPES, Id};
use crate::model::ty;
use crate::{Code, Errors};
use quote::ToTokens;

/// Reports what is wrong with an id.
pub fn check_id(id: &Id, errors: &Errors) {
    if !id.item.generics.params.is_empty() {
        errors.push(Code::IdGeneric, &id.item.generics, "an id cannot be generic", "write a struct for each table");
    }
    let Some(inner) = &id.inner else { return };
    if !ty::name(inner).is_some_and(|name| INNER_TYPES.contains(&name.as_str())) {
        let what = format!("`{}` cannot be inside an id", inner.to_token_stream().to_string().replace(' ', ""));
        errors.push(Code::IdInner, inner, what, "write String, Uuid, i16, i32 or i64, by this name");
    }
}
