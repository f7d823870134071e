//! The membership query: one statement that gives the header and every bucket parameter an actor has.

use super::read::ScopeArg;
use super::sql::{DELETED_AT, Dialect, col, quote};
use nizhal_core::{ClaimOf, ColumnDesc, MemberFilter, ParamSource, Principal, Rule, SqlType, TableDesc};

/// The statement, and the claims to bind to it in order.
#[derive(Debug)]
pub(crate) struct ScopeSql {
    /// Rows of `(rule, param, value, collected)`; rows of rule −1 are the header: epoch, secret, home, rules, generations.
    pub(crate) sql: String,
    /// What `$1`, `$2`, … are.
    pub(crate) args: Vec<(ClaimOf, SqlType)>,
}

impl ScopeSql {
    /// Relies on the membership tables' indexes on their claim columns (`provision`).
    pub(crate) fn new(dialect: Dialect, rules: &[Rule]) -> Self {
        let none = if dialect == Dialect::Postgres { "null::bigint" } else { "null" };
        let header = int(dialect, "-1");
        let part = |at: &str, value: &str| {
            format!(
                "select {header} as rule, {} as param, {value} as value, collected from _nizhal_control where id = 1",
                int(dialect, at)
            )
        };
        let parts = [("0", "epoch"), ("1", "secret"), ("2", "home"), ("3", "rules"), ("4", "generations")];
        let mut sql = parts.map(|(at, value)| part(at, value)).join(" union all ");
        let (members, args) = members(dialect, rules, |at| format!("${at}"));
        for member in members {
            sql.push_str(&format!("\nunion all select rule, param, value, {none} from ({member}) m"));
        }
        Self { sql, args }
    }

    /// The claims that membership queries compare with, in the order they are bound.
    pub(super) fn values(&self, principal: &Principal) -> Vec<ScopeArg> {
        let value = |claim: &ClaimOf| claim.get(principal).map(|value| value.to_string());
        self.args.iter().map(|(claim, sql)| ScopeArg { text: value(claim), sql: *sql }).collect()
    }
}

fn int(dialect: Dialect, number: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("{number}::int4"),
        Dialect::Sqlite => number.to_owned(),
    }
}

/// For each parameter that a membership table gives the query of its `(rule, param, value)`, and the claims that they compare
/// with; `placeholder` says where the first of them is, the second …
pub(super) fn members(
    dialect: Dialect,
    rules: &[Rule],
    placeholder: impl Fn(usize) -> String,
) -> (Vec<String>, Vec<(ClaimOf, SqlType)>) {
    let (mut queries, mut args) = (Vec::new(), Vec::new());
    for (rule_at, rule) in rules.iter().enumerate() {
        for (param_at, param) in rule.params.iter().enumerate() {
            let ParamSource::Member { table, column, filters } = &param.source else { continue };
            let value = dialect.text_of(&col("m", &table.columns[*column]), param.sql);
            let conditions = conditions(dialect, table, is_synced(rules, table), filters, |claim, column| {
                args.push((claim.clone(), column.sql));
                let placeholder = placeholder(args.len());
                match dialect {
                    Dialect::Postgres => format!("{placeholder}::text::{}", column.sql.postgres()),
                    Dialect::Sqlite => placeholder,
                }
            });
            queries.push(format!(
                "select distinct {} as rule, {} as param, {value} as value from {} m where {conditions} and {} is not null",
                int(dialect, &rule_at.to_string()),
                int(dialect, &param_at.to_string()),
                quote(table.name),
                col("m", &table.columns[*column]),
            ));
        }
    }
    (queries, args)
}

/// Whether some rule syncs the table.
pub(super) fn is_synced(rules: &[Rule], table: &TableDesc) -> bool {
    rules.iter().flat_map(|rule| &rule.tables).any(|synced| synced.table.name == table.name)
}

/// What a membership row `m` must meet; `placeholder` says where a claim's value is. A membership that was softly deleted gives nothing;
/// a rule could not say so itself, since synced tables have that column whether they declare it or not.
pub(super) fn conditions(
    dialect: Dialect,
    table: &TableDesc,
    synced: bool,
    filters: &[MemberFilter],
    mut placeholder: impl FnMut(&ClaimOf, &ColumnDesc) -> String,
) -> String {
    let condition = |filter: &MemberFilter| match filter {
        MemberFilter::Const(filter) => dialect.filter(table, filter, "m"),
        MemberFilter::Claim { column, claim } => {
            let column = &table.columns[*column];
            format!("{} = {}", col("m", column), placeholder(claim, column))
        }
    };
    let mut conditions: Vec<String> = filters.iter().map(condition).collect();
    if synced || table.column(DELETED_AT).is_some() {
        conditions.push(format!("m.{} is null", quote(DELETED_AT)));
    }
    conditions.join(" and ")
}
