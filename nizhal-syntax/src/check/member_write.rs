//! Judges who writes the tables that give rules their buckets: what one crate says of both. Told by names, so it sees the plain cases;
//! the server judges each write.

use crate::model::{Mutator, RuleSet, Source};
use crate::{Code, Errors};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Path;

/// What is called on a table's type, or its entity's, to write rows.
const VERBS: [&str; 10] = [
    "insert",
    "insert_many",
    "update",
    "update_one",
    "update_many",
    "delete",
    "delete_one",
    "delete_many",
    "delete_by_id",
    "delete_by_ids",
];

/// Reports mutators that write a membership table of these rules and are not privileged for it.
pub fn check_member_writes(rules: &[RuleSet], mutators: &[Mutator], errors: &Errors) {
    for rule in rules.iter().flat_map(|set| &set.rules) {
        for param in &rule.params {
            let Source::Member { column, .. } = &param.source else { continue };
            let Some(table) = column.table_ident() else { continue };
            for mutator in mutators {
                check_member_write(table, &rule.ident, mutator, errors);
            }
        }
    }
}

fn check_member_write(table: &Ident, rule: &Ident, mutator: &Mutator, errors: &Errors) {
    if mutator.privileged.iter().filter_map(last).any(|privileged| privileged == table) {
        return;
    }
    let body = mutator.function.item.block.to_token_stream();
    let Some(written) = write_in(&table.to_string(), body) else { return };
    let name = &mutator.function.item.sig.ident;
    errors.push(
        Code::MemberWrite,
        written,
        format!("`{name}` writes `{table}`, whose rows say who has the buckets of rule `{rule}`"),
        format!("write `#[mutator(privileged({table}))]`, and judge in it who may become a member or be taken out"),
    );
}

fn last(path: &Path) -> Option<&Ident> {
    path.segments.last().map(|segment| &segment.ident)
}

/// The first name by which rows of the table are written.
pub(super) fn write_in(table: &str, tokens: TokenStream) -> Option<Ident> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens.iter().enumerate().find_map(|(at, token)| match token {
        TokenTree::Group(group) => write_in(table, group.stream()),
        TokenTree::Ident(ident) => {
            let of_table = ident.to_string();
            let of_table = of_table.strip_prefix(table)?;
            let writes = match of_table {
                "Active" => true,
                "" | "Entity" => verb(&tokens[at + 1..]).is_some_and(|verb| VERBS.contains(&verb.as_str())),
                _ => false,
            };
            writes.then(|| ident.clone())
        }
        _ => None,
    })
}

/// What is called: `::verb`.
fn verb(tokens: &[TokenTree]) -> Option<String> {
    match tokens {
        [TokenTree::Punct(first), TokenTree::Punct(second), TokenTree::Ident(verb), ..]
            if first.as_char() == ':' && second.as_char() == ':' =>
        {
            Some(verb.to_string())
        }
        _ => None,
    }
}
