//! Judges a column that the database computes.

use crate::model::TableColumn;
use crate::{Code, Errors};

/// Whether every parenthesis and quote that is opened is closed, and no statement ends.
fn is_one_expression(sql: &str) -> bool {
    let (mut depth, mut quote) = (0_usize, None);
    for char in sql.chars() {
        match (quote, char) {
            (Some(open), _) if open == char => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(char),
            (None, '(') => depth += 1,
            (None, ')') => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            (None, ';') => return false,
            _ => {}
        }
    }
    depth == 0 && quote.is_none() && !sql.trim().is_empty() && !sql.contains("--") && !sql.contains("/*")
}

/// A column that the database computes, where one cannot stand or says more than it may.
pub(super) fn check_generated(column: &TableColumn, errors: &Errors) {
    let Some(sql) = &column.generated else { return };
    if !is_one_expression(&sql.value()) {
        let help = "write what the column is, from columns of the same row: `generated = \"price * quantity\"`";
        errors.push(Code::GeneratedNotExpression, sql, "this is not one SQL expression", help);
    }
    if let Some(key) = &column.primary_key {
        let help = "mark a column that is written, or give the rows an `id` of their own";
        errors.push(Code::GeneratedKey, key, "a generated column cannot be part of the primary key", help);
    }
    if column.default.is_some() {
        errors.push(
            Code::GeneratedDefault,
            &column.field,
            "a generated column has no default: the database computes it",
            "take `default` away",
        );
    }
    let name = column.name.value();
    if matches!(name.as_str(), "updated_at" | "deleted_at") {
        let what = format!("column \"{name}\" is written by the sync engine, so it cannot be generated");
        errors.push(Code::GeneratedEngineColumn, &column.field, what, "give the column another name");
    }
}

#[cfg(test)]
mod tests {
    use super::is_one_expression;

    #[test]
    fn an_expression_stays_within_its_parentheses() {
        for sql in ["price * quantity", "lower(name) || ' (x'", "\"a;b\" + (1)"] {
            assert!(is_one_expression(sql), "{sql}");
        }
        for sql in ["", " ", "1) stored, evil text", "(1", "1; drop table x", "'open", "1 -- x", "1 /* x"] {
            assert!(!is_one_expression(sql), "{sql}");
        }
    }
}
