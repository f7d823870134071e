//! The rows of a table that an actor sees, as a condition in the app's own queries.

use super::{
    database::Store,
    read::ScopeArg,
    scope,
    sql::{Dialect, col, quote},
};
use nizhal_core::{Bucket, ParamSource, Principal, RuleTable, SqlType};
use sea_orm::{Condition, Value, sea_query::Expr};

impl Store {
    /// What a row of this table meets, which the query names by the table's own name, when it lies in one of the actor's buckets now.
    /// No row meets it where no rule syncs the table. Relies on the membership tables' indexes on their claim columns.
    pub(crate) fn visible(&self, table: &str, principal: &Principal) -> Condition {
        let rules = self.schema.rules();
        let mut any = Condition::any().add(Expr::cust("1 = 0"));
        for rule in rules {
            for synced in rule.tables.iter().filter(|synced| synced.table.name == table) {
                let (mut parts, mut values) = (vec![self.dialect().visible(synced, &quote(table))], Vec::new());
                for (param, source) in rule.params.iter().map(|param| &param.source).enumerate() {
                    parts.push(self.is_given(synced, param, source, principal, &mut values));
                }
                let sql = parts.join(" and ");
                any = any.add(if values.is_empty() { Expr::cust(sql) } else { Expr::cust_with_values(sql, values) });
            }
        }
        any
    }

    /// The same of a replayed mutation: the rows of its own bucket, whoever is a member of what now. A revocation changes nothing that was
    /// done before it.
    pub(crate) fn visible_in(&self, table: &str, bucket: &Bucket) -> Option<Condition> {
        let rule = self.schema.rules().iter().find(|rule| rule.name == bucket.rule)?;
        let synced = rule.tables.iter().find(|synced| synced.table.name == table)?;
        let mut condition = Condition::all().add(Expr::cust(self.dialect().visible(synced, &quote(table))));
        for (&at, value) in synced.scope.iter().zip(&bucket.params) {
            let column = &synced.table.columns[at];
            let own = col(&quote(table), column);
            let value = self.scope_value(&ScopeArg { text: Some(value.clone()), sql: column.sql });
            let sql = match self.dialect() {
                Dialect::Postgres => format!("{own} = $1::text::{}", column.sql.postgres()),
                Dialect::Sqlite => format!("{own} = ?"),
            };
            condition = condition.add(Expr::cust_with_values(sql, [value]));
        }
        Some(condition)
    }

    /// Whether the row's column for a parameter holds one of the values that its source gives the actor.
    fn is_given(
        &self,
        synced: &RuleTable,
        param: usize,
        source: &ParamSource,
        principal: &Principal,
        values: &mut Vec<Value>,
    ) -> String {
        let dialect = self.dialect();
        let column = &synced.table.columns[synced.scope[param]];
        let own = col(&quote(synced.table.name), column);
        let mut bind = |text: Option<String>, sql: SqlType| {
            values.push(self.scope_value(&ScopeArg { text, sql }));
            match dialect {
                Dialect::Postgres => format!("${}::text::{}", values.len(), sql.postgres()),
                Dialect::Sqlite => "?".to_owned(),
            }
        };
        match source {
            ParamSource::Claim(claim) => {
                let value = claim.get(principal).map(|value| value.to_string());
                format!("{own} = {}", bind(value, column.sql))
            }
            ParamSource::Member { table, column: given, filters } => {
                let is_synced = scope::is_synced(self.schema.rules(), table);
                let conditions = scope::conditions(dialect, table, is_synced, filters, |claim, column| {
                    bind(claim.get(principal).map(|value| value.to_string()), column.sql)
                });
                format!(
                    "{own} in (select {} from {} m where {conditions})",
                    col("m", &table.columns[*given]),
                    quote(table.name)
                )
            }
        }
    }
}
