//! Rows of buckets that are lost.

use super::{StoreError, tx::Tx};
use nizhal_core::local::cell;
use nizhal_core::{RuleTable, bucket::percent_decode, sql::quote};
use sea_orm::Value;

/// What a lost bucket takes along.
pub(super) enum Purged {
    /// Its rows are gone.
    Clean,
    /// Some of its rows may be in a bucket that is still held; that cannot be told from here. Nothing is of use but to ask for all
    /// rows again.
    Unclear,
}

impl Tx<'_> {
    /// Takes away the rows of these buckets, each named `rule:value`.
    pub(super) async fn purge(&self, buckets: &[String]) -> Result<Purged, StoreError> {
        let schema = self.store.schema().clone();
        for name in buckets {
            let Some((rule, value)) = name.split_once(':') else { return Ok(Purged::Unclear) };
            // A rule that this app does not know showed it nothing.
            let Some(rule) = schema.rules().iter().find(|known| known.name == rule) else { continue };
            let params: Vec<String> = match rule.params.len() {
                0 => Vec::new(),
                1 => vec![value.to_owned()],
                _ => value.split('/').map(percent_decode).collect(),
            };
            if params.len() != rule.params.len() {
                return Ok(Purged::Unclear);
            }
            for line in &rule.tables {
                let Some((matches, values)) = condition(line, &params) else { return Ok(Purged::Unclear) };
                let table = quote(line.table.name);
                let lines = schema.rules().iter().flat_map(|rule| &rule.tables);
                if lines.filter(|other| other.table.name == line.table.name).count() > 1 {
                    let found =
                        self.one(&format!("select 1 from {table} where {matches} limit 1"), values.clone()).await?;
                    if found.is_some() {
                        return Ok(Purged::Unclear);
                    }
                }
                self.run(&format!("delete from {table} where {matches}"), values).await?;
            }
        }
        Ok(Purged::Clean)
    }
}

/// The rows whose columns say that they are in the bucket.
fn condition(line: &RuleTable, params: &[String]) -> Option<(String, Vec<Value>)> {
    let mut parts = vec!["1".to_owned()];
    let mut values = Vec::new();
    for (&at, text) in line.scope.iter().zip(params) {
        let column = &line.table.columns[at];
        values.push(cell::of_text(column.sql, text).ok()?);
        parts.push(format!("{} = ?", quote(column.name)));
    }
    Some((parts.join(" and "), values))
}
