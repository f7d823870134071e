//! Judges a membership: it must be the actor's own.

use super::condition::{check_constants, check_size, check_tears};
use crate::model::{Column, Filter, Param, Terms, Value};
use crate::{Code, Errors};

/// Reports what is wrong with `param in Table.column where …`.
pub(super) fn check_membership(param: &Param, column: &Column, terms: &Terms, errors: &Errors) {
    let filters = terms.filters();
    for filter in &filters {
        check_same_table(column, filter, errors);
        match &filter.value {
            Value::Param(ident) => {
                let what = format!("a membership cannot depend on `{ident}`");
                errors.push(Code::MembershipOnParameter, ident, what, "compare with `actor.claim` or with a constant");
            }
            Value::Claim(claim) if filter.negated() => {
                let what =
                    format!("`!=` does not make `{}` the actor's own: everyone but the actor would match", param.ident);
                errors.push(Code::MembershipNegated, filter.op, what, format!("write `== actor.{}`", claim.ident));
            }
            Value::Claim(_) | Value::Const(_) => {}
        }
    }
    check_constants(terms, errors);
    check_size(terms, errors);
    let depends = filters.iter().any(|filter| matches!(filter.value, Value::Param(_)));
    if param.broken || depends {
        return;
    }
    check_tears(terms, "is not bound to the actor: anyone would be a member", errors);
    if !terms.bound.iter().any(|filter| matches!(filter.value, Value::Claim(_))) {
        let table = column.table_ident().map_or_else(String::new, ToString::to_string);
        let what = format!("`{}` is not bound to the actor: anyone would be a member", param.ident);
        let join = if filters.is_empty() { "where" } else { "&&" };
        errors.push(
            Code::MembershipOfAnyone,
            &param.ident,
            what,
            format!("add `{join} {table}.user_id == actor.user_id`"),
        );
    }
}

fn check_same_table(column: &Column, filter: &Filter, errors: &Errors) {
    if let (Some(wanted), Some(found)) = (column.table_ident(), filter.column.table_ident())
        && wanted != found
    {
        let what = format!("a membership reads one table, and this one reads `{wanted}`");
        errors.push(
            Code::MembershipOtherTable,
            &filter.column.table,
            what,
            format!("write `{wanted}.{}`", filter.column.ident),
        );
    }
}
