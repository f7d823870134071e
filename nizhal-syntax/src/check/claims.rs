//! Judges a claims type.

use crate::model::Claims;
use crate::{Code, Errors};

/// Reports what is wrong with a claims type.
pub fn check_claims(claims: &Claims, errors: &Errors) {
    if !claims.item.generics.params.is_empty() {
        errors.push(
            Code::ClaimsGeneric,
            &claims.item.generics,
            "claims cannot be generic: they are read from a token",
            "write the types out",
        );
    }
}
