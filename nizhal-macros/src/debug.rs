//! Shows an expansion when `NIZHAL_DEBUG_MACRO` names its item.

use crate::pretty::pretty;
use proc_macro2::{TokenStream, TokenTree};

/// Gives the tokens back, printed to stderr when they define the item that the variable names.
pub(crate) fn show(tokens: TokenStream) -> TokenStream {
    if let Ok(name) = std::env::var("NIZHAL_DEBUG_MACRO")
        && defines(&tokens, &name)
    {
        eprintln!("{}", pretty(&tokens));
    }
    tokens
}

fn defines(tokens: &TokenStream, name: &str) -> bool {
    let mut after_keyword = false;
    tokens.clone().into_iter().any(|token| {
        let TokenTree::Ident(ident) = token else { return false };
        let found = after_keyword && ident == name;
        after_keyword = ident == "struct" || ident == "enum" || ident == "fn";
        found
    })
}

#[cfg(test)]
mod tests {
    use super::defines;

    #[test]
    fn an_item_is_known_by_its_name_where_it_is_defined() {
        let tokens = "#[doc = \"Customer\"] pub struct Ticket { customer: Customer } impl Customer {} fn rules() {}";
        let defined = |name| defines(&tokens.parse().unwrap(), name);
        assert_eq!(["Ticket", "rules", "Customer", "customer"].map(defined), [true, true, false, false]);
    }
}
