//! A column's value as canonical text, in SQL: the same bytes that `nizhal_core::key` and the rows of pulls spell.
//!
//! No text here depends on a setting of the session (`datestyle`, `TimeZone`) or on a collation: what Postgres does not call
//! immutable has no place in an index, and a tombstone that another session spells otherwise names a row that no device holds.

use super::sql::Dialect;
use nizhal_core::SqlType;

/// Whether SQLite can hold one value of this type in several spellings, so that only its canonical text finds it.
pub(crate) fn is_spelled(sql: SqlType) -> bool {
    matches!(sql, SqlType::Bool | SqlType::Timestamptz | SqlType::Date | SqlType::Time)
}

impl Dialect {
    /// A value as canonical text: what buckets, keys and tombstones are named by. NULL stays NULL.
    pub(crate) fn text_of(self, value: &str, sql: SqlType) -> String {
        match self {
            Self::Postgres => postgres(value, sql),
            Self::Sqlite => sqlite(value, sql),
        }
    }

    /// A canonical text as a value of this type, in Postgres.
    pub(crate) fn value_of(text: &str, sql: SqlType) -> String {
        match sql {
            // Postgres reads years without a sign, and those before Christ by a word.
            SqlType::Timestamptz | SqlType::Date => format!(
                "(case when {text} like '+%' then substr({text}, 2) when {text} ~ '^-[0-9]' then \
                 lpad((1 - left({text}, 7)::int)::text, 4, '0') || substr({text}, 8) || ' BC' when {text} like '0000-%' then \
                 '0001' || substr({text}, 5) || ' BC' else {text} end)::{}",
                sql.postgres()
            ),
            _ => format!("{text}::{}", sql.postgres()),
        }
    }
}

fn postgres(value: &str, sql: SqlType) -> String {
    match sql {
        SqlType::Date => {
            let day = postgres_day(value);
            format!(
                "(case when isfinite({value}) then {day} when {value} > date '2000-01-01' then 'infinity' when {value} is not null then '-infinity' end)"
            )
        }
        SqlType::Timestamptz => {
            let utc = format!("({value} at time zone 'UTC')");
            let part = |field: &str| two(&format!("extract({field} from {utc})::int::text"));
            // Seconds and their fraction in one number: 5.12 s are 05120000.
            let micros = format!("lpad(extract(microseconds from {utc})::int::text, 8, '0')");
            format!(
                "(case when isfinite({value}) then {} || 'T' || {} || ':' || {} || ':' || left({micros}, 2) || '.' || \
                 right({micros}, 6) || 'Z' when {value} > timestamptz '2000-01-01 00:00:00+00' then 'infinity' \
                 when {value} is not null then '-infinity' end)",
                postgres_day(&utc),
                part("hour"),
                part("minute"),
            )
        }
        // Never by `datestyle`; without a fraction eight letters, else as many digits as it needs.
        SqlType::Time => {
            format!(
                "(case when length(({value})::text) > 8 then rpad(({value})::text, 15, '0') else ({value})::text end)"
            )
        }
        _ => format!("({value})::text"),
    }
}

fn two(number: &str) -> String {
    format!("lpad({number}, 2, '0')")
}

/// `YYYY-MM-DD`; Postgres' year −1 is the year 0 of everybody else.
fn postgres_day(value: &str) -> String {
    let field = |field: &str| format!("extract({field} from {value})::int");
    let year = format!("({y} + ({y} < 0)::int)", y = field("year"));
    format!(
        "case when {year} between 0 and 9999 then lpad({year}::text, 4, '0') else (case when {year} < 0 then '-' else '+' end) \
         || lpad(abs({year})::text, 6, '0') end || '-' || {} || '-' || {}",
        two(&format!("{}::text", field("month"))),
        two(&format!("{}::text", field("day"))),
    )
}

fn sqlite(value: &str, sql: SqlType) -> String {
    match sql {
        SqlType::Text | SqlType::Numeric => value.to_owned(),
        SqlType::Uuid => {
            let hex = format!("lower(hex({value}))");
            let part = |from: u8, length: u8| format!("substr({hex},{from},{length})");
            let joined = [part(1, 8), part(9, 4), part(13, 4), part(17, 4), part(21, 12)].join(" || '-' || ");
            format!("case typeof({value}) when 'blob' then {joined} else {value} end")
        }
        SqlType::Bool => format!("case when {value} then 'true' when not {value} then 'false' end"),
        SqlType::Date => sqlite_day(value),
        SqlType::Time => format!(
            "case when {value} glob '??:??:??.*' then substr({value}, 1, 8) || case {six} when '000000' then '' else '.' || {six} end \
             when {value} glob '??:??' then {value} || ':00' else {value} end",
            six = six(&format!("substr({value}, 10)")),
        ),
        SqlType::Timestamptz => sqlite_moment(value),
        _ => format!("cast({value} as text)"),
    }
}

/// Six digits of a fraction, whatever it has.
fn six(fraction: &str) -> String {
    format!("substr({fraction} || '000000', 1, 6)")
}

/// The driver's date: a year of more than four digits has a sign.
fn sqlite_day(value: &str) -> String {
    format!(
        "case when {value} glob '[+-][0-9]*-??-??' then substr({value}, 1, 1) || substr('000000' || substr({value}, 2, \
         length({value}) - 7), -6) || substr({value}, -6) else {value} end"
    )
}

/// The driver's RFC 3339 in UTC, of any year; another program's, with another offset; what `datetime()` writes. What is none of
/// these stays as it is, and its row says the same.
fn sqlite_moment(value: &str) -> String {
    let moment = |body: &str, at: &str| {
        let day = sqlite_day(&format!("substr({body}, 1, {at} - 1)"));
        let six = six(&format!("substr({body}, {at} + 10)"));
        format!("({day}) || 'T' || substr({body}, {at} + 1, 8) || '.' || {six} || 'Z'")
    };
    let zulu = format!("substr({value}, 1, length({value}) - 1)");
    let utc = format!("substr({value}, 1, length({value}) - 6)");
    let tee = format!("instr({value}, 'T')");
    let shifted = format!("strftime('%Y-%m-%dT%H:%M:%S', substr({value}, 1, 19) || substr({value}, -6))");
    format!(
        "case when {value} glob '*-??-??T??:??:??*Z' then {} when {value} glob '*-??-??T??:??:??*+00:00' then {} \
         when {value} glob '????-??-??[T ]??:??:??*[+-]??:??' then coalesce({shifted} || '.' || {} || 'Z', {value}) \
         when {value} glob '????-??-??[T ]??:??:??*' then {} else {value} end",
        moment(&zulu, &tee),
        moment(&utc, &tee),
        six(&format!("substr({value}, 21, length({value}) - 26)")),
        moment(value, "11"),
    )
}
