//! Judges conditions by themselves: their size, branches that bind less than others, constants that say nothing.

use crate::model::condition::text;
use crate::model::{Branch, Condition, Filter, Tear, Terms};
use crate::{Code, Errors};
use quote::ToTokens;

/// The most comparisons in a condition: each pull carries it in its statement, each write in its trigger.
const MAX_COMPARISONS: usize = 32;

/// Reports the comparison that is one too many.
pub(super) fn check_size(terms: &Terms, errors: &Errors) {
    if let Some(filter) = terms.filters().get(MAX_COMPARISONS) {
        let what = format!("a condition has at most {MAX_COMPARISONS} comparisons");
        errors.push(
            Code::ConditionTooLong,
            &filter.column,
            what,
            "let a column of its own say it, and compare that one",
        );
    }
}

/// Reports what keeps a condition from binding all of its rows alike; `loose` says what follows for a loose branch.
pub(super) fn check_tears(terms: &Terms, loose: &str, errors: &Errors) {
    for tear in &terms.tears {
        match tear {
            Tear::Lacks { branch, wanted } => {
                let wanted: Vec<String> = wanted.iter().map(written).collect();
                let wanted = wanted.join(" && ");
                let what = format!("this branch of `||` {loose}");
                let help = format!("write `{wanted} && (… || …)`, so that it holds in every branch");
                errors.push(Code::LooseBranch, branch, what, help);
            }
            Tear::Differs { here, there } => {
                let (column, other) = (text(&here.column), text(&there.column));
                let what = format!("this branch is scoped by `{column}`, another by `{other}`");
                errors.push(
                    Code::BranchScopedOtherwise,
                    &here.column,
                    what,
                    "write a second rule: an actor sees what any rule gives",
                );
            }
            Tear::Whole(branch) => {
                let what = "this branch says nothing of its own, so the others have no effect";
                errors.push(
                    Code::IdleBranches,
                    branch,
                    what,
                    "take the other branches away, or say what is special about this one",
                );
            }
            Tear::Twice(filter) => {
                let what = format!("`{}` is compared twice in this line", text(&filter.value));
                errors.push(
                    Code::ScopedTwice,
                    &filter.value,
                    what,
                    "keep the column that says to whom the row belongs",
                );
            }
        }
    }
}

/// Reports constants that contradict or repeat each other.
pub(super) fn check_constants(terms: &Terms, errors: &Errors) {
    judge_all(&terms.unbound, &mut Vec::new(), errors);
}

fn judge_all<'a>(all: &'a [Condition], known: &mut Vec<&'a Filter>, errors: &Errors) {
    for condition in all {
        let Condition::Is(filter) = condition else { continue };
        for other in known.iter().filter(|other| other.column.ident == filter.column.ident) {
            let same = value(filter) == value(other);
            if same && filter.negated() == other.negated() {
                errors.push(Code::ConditionRepeated, &filter.column, "this condition is there already", "take it away");
            } else if same || !filter.negated() && !other.negated() {
                errors.push(
                    Code::NeverTrueTogether,
                    &filter.column,
                    "these conditions are never true together",
                    "take one of them away",
                );
            }
        }
        known.push(filter);
    }
    for condition in all {
        match condition {
            Condition::Any(branches) => judge_any(branches, known, errors),
            Condition::All(all) => judge_all(all, &mut known.clone(), errors),
            Condition::Is(_) => {}
        }
    }
}

fn judge_any(branches: &[Branch], known: &[&Filter], errors: &Errors) {
    let mut seen: Vec<&Filter> = Vec::new();
    for branch in branches {
        if let Condition::Is(filter) = &branch.condition {
            for other in seen.iter().filter(|other| other.column.ident == filter.column.ident) {
                let same = value(filter) == value(other);
                let flags = is_flag(filter) && is_flag(other);
                if same && filter.negated() == other.negated() {
                    errors.push(Code::BranchRepeated, &filter.column, "this branch is there already", "take it away");
                } else if same || filter.negated() || other.negated() || flags {
                    errors.push(
                        Code::BranchesAlwaysTrue,
                        &branch.at,
                        "one of these branches is always true",
                        "take the condition away",
                    );
                }
            }
            seen.push(filter);
        }
        judge_all(std::slice::from_ref(&branch.condition), &mut known.to_vec(), errors);
    }
}

fn value(filter: &Filter) -> String {
    filter.value.to_token_stream().to_string()
}

fn is_flag(filter: &Filter) -> bool {
    matches!(value(filter).as_str(), "true" | "false")
}

fn written(filter: &Filter) -> String {
    format!("{} {} {}", text(&filter.column), text(&filter.op), text(&filter.value))
}
