//! One function a variable: its text to its value, or the sentence that says what to write.

use super::{Cors, DatabaseUrl, JwksSource, LogFormat, Mode, RateLimit, SettingsError, url::without_password};
use std::{num::NonZeroU32, str::FromStr, time::Duration};

pub(super) fn invalid(name: &'static str, value: &str, wanted: &'static str) -> SettingsError {
    SettingsError::Invalid { name, value: value.to_owned(), wanted }
}

pub(super) fn number<T: FromStr>(name: &'static str, value: &str, wanted: &'static str) -> Result<T, SettingsError> {
    value.trim().parse().map_err(|_| invalid(name, value, wanted))
}

/// A number that is no smaller than this.
pub(super) fn at_least<T: FromStr + PartialOrd + Copy>(
    name: &'static str,
    value: &str,
    least: T,
    wanted: &'static str,
) -> Result<T, SettingsError> {
    let number = number(name, value, wanted)?;
    if number < least { Err(invalid(name, value, wanted)) } else { Ok(number) }
}

/// `500ms` or `30s`, up to a day.
pub(super) fn time(name: &'static str, value: &str) -> Result<Duration, SettingsError> {
    let text = value.trim();
    let time = match text.strip_suffix("ms") {
        Some(number) => number.parse().ok().map(Duration::from_millis),
        None => text.strip_suffix('s').and_then(|number| number.parse().ok()).map(Duration::from_secs),
    };
    time.filter(|time| (1..=86_400_000).contains(&time.as_millis()))
        .ok_or_else(|| invalid(name, value, "a time of up to a day, such as `30s` or `500ms`"))
}

pub(super) fn database_url(value: &str) -> Result<DatabaseUrl, SettingsError> {
    let url = value.trim();
    let known = ["postgres://", "postgresql://", "sqlite://", "sqlite:"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if known {
        return Ok(url.into());
    }
    let wanted = "`postgres://user:password@host/database`, `sqlite://path/to/file.db` or `sqlite::memory:`";
    // A mistyped URL may still hold a password.
    Err(invalid("DATABASE_URL", &without_password(url), wanted))
}

pub(super) fn host(value: &str) -> Result<String, SettingsError> {
    let host = value.trim();
    if host.contains(['/', ' ']) || (host.contains(':') && host.parse::<std::net::Ipv6Addr>().is_err()) {
        return Err(invalid("HOST", value, "an address alone, such as 127.0.0.1 or 0.0.0.0; the port goes into PORT"));
    }
    Ok(host.to_owned())
}

pub(super) fn mode(value: &str) -> Result<Mode, SettingsError> {
    match value.trim() {
        "development" => Ok(Mode::Development),
        "production" => Ok(Mode::Production),
        _ => Err(invalid("NIZHAL_ENV", value, "`development` or `production`")),
    }
}

pub(super) fn rate_limit(value: &str) -> Result<Option<RateLimit>, SettingsError> {
    if value.trim() == "off" {
        return Ok(None);
    }
    let parsed = value.trim().split_once('/').and_then(|(requests, period)| {
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        let seconds: u32 = period.trim().strip_suffix('s')?.parse().ok()?;
        let period = Duration::from_secs(seconds.into());
        // The limiter counts in whole nanoseconds a request.
        (period / requests.get() > Duration::ZERO).then_some(RateLimit { requests, period })
    });
    parsed
        .map(Some)
        .ok_or_else(|| invalid("NIZHAL_RATE_LIMIT", value, "requests and seconds, such as `120/60s`, or `off`"))
}

pub(super) fn max_body_bytes(value: &str) -> Result<usize, SettingsError> {
    const WANTED: &str = "a number of bytes from 1024, such as 1048576";
    let bytes: usize = number("NIZHAL_MAX_BODY_BYTES", value, WANTED)?;
    if bytes < 1024 {
        return Err(invalid("NIZHAL_MAX_BODY_BYTES", value, WANTED));
    }
    Ok(bytes)
}

pub(super) fn cors(value: &str) -> Result<Cors, SettingsError> {
    match value.trim() {
        "off" => return Ok(Cors::Off),
        "*" => return Ok(Cors::Any),
        _ => {}
    }
    let origins: Vec<String> = value.split(',').map(|origin| origin.trim().to_owned()).collect();
    let is_origin = |origin: &String| {
        let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', ' ', '*']))
    };
    if !origins.iter().all(is_origin) {
        let wanted = "`*`, `off`, or origins with commas between them, such as `https://app.example.com`, no path";
        return Err(invalid("NIZHAL_CORS", value, wanted));
    }
    Ok(Cors::Origins(origins))
}

pub(super) fn db_pool(value: &str) -> Result<u32, SettingsError> {
    const WANTED: &str = "a number of connections from 1 to 1000, such as 10";
    let pool: u32 = number("NIZHAL_DB_POOL", value, WANTED)?;
    if !(1..=1000).contains(&pool) {
        return Err(invalid("NIZHAL_DB_POOL", value, WANTED));
    }
    Ok(pool)
}

pub(super) fn tombstone_days(value: &str) -> Result<Option<u32>, SettingsError> {
    const WANTED: &str = "a number of days from 1 to 36500, such as 30, or `off`";
    if value.trim() == "off" {
        return Ok(None);
    }
    let days: u32 = number("NIZHAL_TOMBSTONE_DAYS", value, WANTED)?;
    if !(1..=36_500).contains(&days) {
        return Err(invalid("NIZHAL_TOMBSTONE_DAYS", value, WANTED));
    }
    Ok(Some(days))
}

pub(super) fn switch(name: &'static str, value: &str) -> Result<bool, SettingsError> {
    match value.trim() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(invalid(name, value, "`on` or `off`")),
    }
}

pub(super) fn job_workers(value: &str) -> Result<u32, SettingsError> {
    const WANTED: &str = "a number of workers from 0 to 100, such as 2";
    let workers: u32 = number("NIZHAL_JOB_WORKERS", value, WANTED)?;
    if workers > 100 {
        return Err(invalid("NIZHAL_JOB_WORKERS", value, WANTED));
    }
    Ok(workers)
}

pub(super) fn audit_days(value: &str) -> Result<Option<u32>, SettingsError> {
    const WANTED: &str = "a number of days up to 36500, such as 90, 0 to keep entries for ever, or `off` to write none";
    if value.trim() == "off" {
        return Ok(None);
    }
    let days: u32 = number("NIZHAL_AUDIT_DAYS", value, WANTED)?;
    if days > 36_500 {
        return Err(invalid("NIZHAL_AUDIT_DAYS", value, WANTED));
    }
    Ok(Some(days))
}

pub(super) fn max_buckets(value: &str) -> Result<usize, SettingsError> {
    const WANTED: &str = "a number of buckets from 1 to 1000000, such as 10000";
    let buckets: usize = number("NIZHAL_MAX_BUCKETS", value, WANTED)?;
    if !(1..=1_000_000).contains(&buckets) {
        return Err(invalid("NIZHAL_MAX_BUCKETS", value, WANTED));
    }
    Ok(buckets)
}

pub(super) fn metrics(value: &str) -> Result<bool, SettingsError> {
    match value.trim() {
        "open" => Ok(true),
        "admin" => Ok(false),
        _ => Err(invalid("NIZHAL_METRICS", value, "`open`, or `admin` to ask for NIZHAL_ADMIN_PASSWORD")),
    }
}

pub(super) fn log_format(value: &str) -> Result<LogFormat, SettingsError> {
    match value.trim() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(invalid(LogFormat::VARIABLE, value, "`text` or `json`")),
    }
}

pub(super) fn jwks(value: &str) -> Result<JwksSource, SettingsError> {
    const WANTED: &str = "a URL such as `https://id.example.com/.well-known/jwks.json`, or the path of a file";
    let value = value.trim();
    let Some((scheme, rest)) = value.split_once("://") else { return Ok(JwksSource::File(value.into())) };
    // A password would end up in the log when the issuer does not answer.
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !matches!(scheme, "https" | "http") || host.is_empty() || host.contains('@') || rest.contains([' ', '#']) {
        return Err(invalid("NIZHAL_JWKS", &without_password(value), WANTED));
    }
    Ok(JwksSource::Url(value.to_owned()))
}

pub(super) fn audience(value: &str) -> Result<Vec<String>, SettingsError> {
    let audience: Vec<String> = value.split(',').map(|name| name.trim().to_owned()).collect();
    if audience.iter().any(String::is_empty) {
        let wanted = "the name that tokens are for, or several with commas between them";
        return Err(invalid("NIZHAL_JWT_AUDIENCE", value, wanted));
    }
    Ok(audience)
}
