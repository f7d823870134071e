//! The membership query: one statement that gives the frame and every bucket parameter an actor has.

use super::sql::{DELETED_AT, Dialect, col, quote};
use nizhal_core::{ClaimOf, MemberFilter, ParamSource, Rule, SqlType};

/// The statement, and the claims to bind to it in order.
#[derive(Debug)]
pub(crate) struct ScopeSql {
    /// Rows of `(rule, param, value, collected)`; rows of rule −1 are the frame: epoch, secret, home.
    pub(crate) sql: String,
    /// What `$1`, `$2`, … are.
    pub(crate) args: Vec<(ClaimOf, SqlType)>,
}

impl ScopeSql {
    /// Relies on the membership tables' indexes on their claim columns (`provision`).
    pub(crate) fn new(dialect: Dialect, rules: &[Rule]) -> Self {
        let int = |number: &str| match dialect {
            Dialect::Postgres => format!("{number}::int4"),
            Dialect::Sqlite => number.to_owned(),
        };
        let none = if dialect == Dialect::Postgres { "null::bigint" } else { "null" };
        let mut args: Vec<(ClaimOf, SqlType)> = Vec::new();
        let frame = int("-1");
        let part = |at: &str, value: &str| {
            format!(
                "select {frame} as rule, {} as param, {value} as value, collected from _nizhal_control where id = 1",
                int(at)
            )
        };
        let mut sql = [part("0", "epoch"), part("1", "secret"), part("2", "home")].join(" union all ");
        for (rule_at, rule) in rules.iter().enumerate() {
            for (param_at, param) in rule.params.iter().enumerate() {
                let ParamSource::Member { table, column, filters } = &param.source else { continue };
                let value = dialect.text_of(&col("m", &table.columns[*column]), param.sql);
                let mut conditions = Vec::new();
                for filter in filters {
                    conditions.push(match filter {
                        MemberFilter::Const(filter) => dialect.filter(table, filter, "m"),
                        MemberFilter::Claim { column, claim } => {
                            let column = &table.columns[*column];
                            args.push((claim.clone(), column.sql));
                            let place = format!("${}", args.len());
                            let place = match dialect {
                                Dialect::Postgres => format!("{place}::text::{}", column.sql.postgres()),
                                Dialect::Sqlite => place,
                            };
                            format!("{} = {place}", col("m", column))
                        }
                    });
                }
                // A membership that was softly deleted gives nothing; a rule could not say so itself.
                let is_synced =
                    rules.iter().flat_map(|rule| &rule.tables).any(|synced| synced.table.name == table.name);
                if is_synced || table.column(DELETED_AT).is_some() {
                    conditions.push(format!("m.{} is null", quote(DELETED_AT)));
                }
                let (rule_at, param_at) = (int(&rule_at.to_string()), int(&param_at.to_string()));
                sql.push_str(&format!(
                    "\nunion all select distinct {rule_at}, {param_at}, {value}, {none} from {} m where {} and {} is not null",
                    quote(table.name),
                    conditions.join(" and "),
                    col("m", &table.columns[*column]),
                ));
            }
        }
        Self { sql, args }
    }
}
