//! A claims type: the two fields that say who asks, and what to derive.

use super::derive::{Derives, rename_all};
use super::ty;
use crate::{Code, Errors, ast, name};
use syn::{Field, ItemStruct};

/// A claims type.
#[derive(Debug)]
pub struct Claims {
    /// The struct.
    pub item: ItemStruct,
    /// What is not derived yet.
    pub derives: Derives,
    /// Whether fields are renamed to camelCase.
    pub rename_all: bool,
    /// Whether a user's id names one person in a tenant alone.
    pub users_per_owner: bool,
}

/// Finds the user's and the tenant's field.
pub fn lower_claims(claims: ast::Claims, errors: &Errors) -> Claims {
    let item = claims.item;
    require(&item, "user_id", "who is asking", errors);
    require(&item, "owner_id", "the tenant they belong to", errors);
    Claims {
        derives: Derives::of(&item.attrs, &["Clone", "Debug", "Serialize", "Deserialize"]),
        rename_all: rename_all(&item.attrs),
        users_per_owner: claims.users == Some(ast::Users::PerOwner),
        item,
    }
}

fn require(item: &ItemStruct, wanted: &str, meaning: &str, errors: &Errors) {
    let names = |field: &Field| field.ident.as_ref().map(name::plain);
    match item.fields.iter().find(|field| names(field).as_deref() == Some(wanted)) {
        None => {
            let what = format!("claims need a field `{wanted}`");
            errors.push(Code::ClaimMissing, &item.ident, what, format!("add `{wanted}: String`: {meaning}"));
        }
        Some(field) if ty::name(&field.ty).is_none_or(|name| name != "String") => {
            errors.push(
                Code::ClaimNotText,
                &field.ty,
                format!("`{wanted}` is a text"),
                format!("write `{wanted}: String`"),
            );
        }
        Some(_) => {}
    }
}
