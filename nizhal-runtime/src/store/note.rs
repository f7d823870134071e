//! The note of a transaction: one line for each bucket that its writes touched.
//!
//! A line is `<rule><sign><table>:<bucket>`; the sign is `+` when the row shows in the bucket and `-` when a constant
//! condition or `deleted_at` hides it. Write scope looks at every line, pings only at `+`.

use super::sql::{self, Dialect};
use crate::engine::Bucket;
use nizhal_core::RuleTable;

/// One touched bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The bucket.
    pub bucket: Bucket,
    /// The table whose row was written.
    pub table: String,
    /// Whether the row shows in the bucket, before or after the write.
    pub shown: bool,
}

/// The SQL expression of the line for `row`; NULL when the row is in no bucket.
pub(crate) fn line(dialect: Dialect, rule: &str, synced: &RuleTable, row: &str) -> String {
    format!(
        "{} || case when {} then '+' else '-' end || {} || {}",
        sql::literal(rule),
        dialect.visible(synced, row),
        sql::literal(&format!("{}:", synced.table.name)),
        dialect.bucket_key(synced, row),
    )
}

/// Reads lines back; `None` for one that this file did not write.
pub(crate) fn parse(line: &str) -> Option<Touched> {
    let sign = line.find(['+', '-'])?;
    let (rule, rest) = line.split_at(sign);
    let (table, key) = rest[1..].split_once(":[")?;
    let params = serde_json::from_str(&format!("[{key}")).ok()?;
    Some(Touched { bucket: Bucket::new(rule, params), table: table.to_owned(), shown: rest.starts_with('+') })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_back() {
        let touched = parse(r#"myShops+customers:["a:[\n+","b"]"#).unwrap();
        assert_eq!(touched.bucket, Bucket::new("myShops", vec!["a:[\n+".into(), "b".into()]));
        assert_eq!((touched.table.as_str(), touched.shown), ("customers", true));
        assert!(!parse(r#"r-t:["x"]"#).unwrap().shown);
        assert_eq!(parse("nonsense"), None);
    }
}
