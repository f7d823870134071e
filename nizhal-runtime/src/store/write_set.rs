//! The note of a transaction: one line for each bucket that its writes touched.
//!
//! A change of a membership table is noted under the key of those it concerns ([`Bucket::membership`]), so that their
//! devices are pinged.
//!
//! A line is `<rule><sign><table>:<bucket>`; the sign is `+` when the row shows in the bucket and `-` when a constant
//! condition or `deleted_at` hides it, or when nothing was written that devices are told of. Write scope looks at every line, pings
//! only at `+`. What lines of other signs say is told in `field.rs`, `row_size.rs` and `seal.rs`.

use super::{
    StoreError,
    sql::{self, Dialect},
};
use nizhal_core::{Bucket, bucket::MEMBERSHIP};
use nizhal_core::{MemberFilter, ParamSource, Rule, RuleTable, TableDesc};

/// One touched bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteSetEntry {
    /// The bucket.
    pub bucket: Bucket,
    /// The table whose row was written.
    pub table: String,
    /// Whether the row shows in the bucket, before or after the write.
    pub shown: bool,
}

/// What the transaction's writes touched so far, as SQL on Postgres: in nearly all of them one setting.
pub(crate) const WRITTEN: &str = "case when coalesce(current_setting('nizhal.spilled', true), '') = '' \
    then coalesce(current_setting('nizhal.touched', true), '') else _nizhal_written() end";
/// The version that the transaction drew, as SQL on Postgres; NULL where it drew none.
pub(crate) const DRAWN: &str = "nullif(current_setting('nizhal.version', true), '')::bigint";
/// Runs what is deferred until the commit, on Postgres: whether that wrote anything that was not noted before.
pub(crate) const DUE: &str = "_nizhal_due()";
/// Says that what was written is judged, on Postgres: whatever notes something later fails.
pub(crate) const JUDGED: &str = "set_config('nizhal.judged', 'on', true)";
/// Puts in the place of what [`WRITTEN`] says the line of a seal, which is bound to `$1`, as SQL expressions.
pub(crate) const RESEAL: &str =
    "set_config('nizhal.touched', $1::text || E'\\n', true), set_config('nizhal.spilled', '', true)";

/// The SQL expression of the line for `row`; NULL when the row is in no bucket. `is_published`: whether devices get the write.
pub(crate) fn line(dialect: Dialect, rule: &str, synced: &RuleTable, row: &str, is_published: Option<&str>) -> String {
    let is_published = is_published.map(|is_published| format!(" and {is_published}")).unwrap_or_default();
    format!(
        "{} || case when {}{is_published} then '+' else '-' end || {} || {}",
        sql::literal(rule),
        dialect.visible(synced, row),
        sql::literal(&format!("{}:", synced.table.name)),
        dialect.bucket_key(synced, row),
    )
}

/// The membership parameters that this table feeds: rule, place of the parameter, filters.
pub(crate) fn memberships<'a>(
    rules: &'a [Rule],
    table: &'a TableDesc,
) -> impl Iterator<Item = (&'a str, usize, &'a [MemberFilter])> {
    rules.iter().flat_map(move |rule| {
        rule.params.iter().enumerate().filter_map(move |(at, param)| match &param.source {
            ParamSource::Member { table: source, filters, .. } if source.name == table.name => {
                Some((rule.name, at, filters.as_slice()))
            }
            _ => None,
        })
    })
}

/// The SQL expression of the line for a membership row.
pub(crate) fn membership_line(
    dialect: Dialect,
    (rule, param, filters): (&str, usize, &[MemberFilter]),
    table: &TableDesc,
    row: &str,
) -> String {
    let at = sql::literal(&param.to_string());
    let mut key = vec![match dialect {
        Dialect::Postgres => format!("{at}::text"),
        Dialect::Sqlite => at,
    }];
    key.extend(filters.iter().filter_map(|filter| match filter {
        MemberFilter::Claim { column, .. } => {
            let column = &table.columns[*column];
            // A row that concerns nobody was written all the same.
            Some(format!("coalesce({}, '')", dialect.text_of(&sql::col(row, column), column.sql)))
        }
        MemberFilter::Const(_) => None,
    }));
    format!("{} || {}", sql::literal(&format!("{MEMBERSHIP}{rule}+{}:", table.name)), dialect.json_texts(&key))
}

/// Reads the lines of a write set back.
///
/// # Errors
/// As for [`parse`].
pub(crate) fn parse_lines(lines: &str) -> Result<Vec<WriteSetEntry>, StoreError> {
    lines.lines().map(parse).collect()
}

/// Reads a line back.
///
/// # Errors
/// When [`line`] did not write it: what cannot be read must not pass the write scope.
pub(crate) fn parse(line: &str) -> Result<WriteSetEntry, StoreError> {
    split(line)
        .ok_or_else(|| StoreError::Schema(format!("the transaction's note has a line that is not ours: {line:?}")))
}

fn split(line: &str) -> Option<WriteSetEntry> {
    let sign = line.find(['+', '-'])?;
    let (rule, rest) = line.split_at(sign);
    let (table, key) = rest[1..].split_once(":[")?;
    let params = serde_json::from_str(&format!("[{key}")).ok()?;
    Some(WriteSetEntry { bucket: Bucket::new(rule, params), table: table.to_owned(), shown: rest.starts_with('+') })
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
        assert!(parse("nonsense").is_err());
    }
}
