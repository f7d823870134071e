//! Names: from Rust's to the wire's, and the nearest of several to a misspelt one.

use proc_macro2::Ident;
use syn::ext::IdentExt;

/// The identifier without `r#`.
pub fn plain(ident: &Ident) -> String {
    ident.unraw().to_string()
}

/// Whether two identifiers are one name, with `r#` or without.
pub fn same(one: &Ident, other: &Ident) -> bool {
    plain(one) == plain(other)
}

/// `record_payment` as `recordPayment`.
pub fn camel(name: &str) -> String {
    let pascal = pascal(name);
    let mut chars = pascal.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// `client_id` as `ClientId`.
pub fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
    };
    name.split('_').map(word).collect()
}

/// `LedgerEntry` as `ledger_entry`.
pub fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut chars = name.chars().peekable();
    let mut before = '_';
    while let Some(char) = chars.next() {
        let starts_word =
            char.is_uppercase() && (!before.is_uppercase() || chars.peek().is_some_and(|c| c.is_lowercase()));
        if starts_word && before != '_' {
            snake.push('_');
        }
        snake.extend(char.to_lowercase());
        before = char;
    }
    snake
}

/// The one of `known` that `word` was probably meant to be.
pub fn similar<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// `` `a` ``, `` `a` or `b` ``, `` `a`, `b` or `c` ``.
pub fn either<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_change_case() {
        for (from, camel_case, pascal_case) in [
            ("record_payment", "recordPayment", "RecordPayment"),
            ("id", "id", "Id"),
            ("r_2d", "r2d", "R2d"),
            ("_private__name", "privateName", "PrivateName"),
            ("", "", ""),
        ] {
            assert_eq!((camel(from), pascal(from)), (camel_case.to_owned(), pascal_case.to_owned()), "{from}");
        }
        for (from, snake_case) in [
            ("Customer", "customer"),
            ("LedgerEntry", "ledger_entry"),
            ("HTTPServer", "http_server"),
            ("V2Shop", "v2_shop"),
        ] {
            assert_eq!(snake(from), snake_case);
        }
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let words = ["primary_key", "unique", "private", "default", "rename"];
        assert_eq!(similar("primary_kye", words), Some("primary_key"));
        assert_eq!(similar("uniqe", words), Some("unique"));
        assert_eq!(similar("index", words), None);
    }

    #[test]
    fn choices_read_as_a_sentence() {
        assert_eq!(either(["a"]), "`a`");
        assert_eq!(either(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
