//! Rows of buckets that are lost.

use super::{StoreError, cell, tx::Tx};
use nizhal_core::{RuleTable, sql::quote};
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

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::percent_decode;

    #[test]
    fn bucket_names_are_read_as_they_were_written() {
        assert_eq!(percent_decode("a%2Fb"), "a/b");
        assert_eq!(percent_decode("%C3%BC%"), "ü%");
        assert_eq!(percent_decode("%ü"), "%ü");
    }
}
