//! `GET /nizhal/audit`: who changed what, for the admin.

use super::{error::HttpError, respond::respond, stream::query};
use crate::{
    http::Server,
    store::{AuditEntry, AuditQuery},
};
use actix_web::{HttpRequest, HttpResponse, http::header::CACHE_CONTROL, web::Data};
use serde::Deserialize;
use serde_json::{Value, json};

/// Entries in a page when the request does not say.
const DEFAULT_LIMIT: usize = 100;
/// The most entries in a page.
const MAX_LIMIT: usize = 1_000;
/// The longest parameter of a query, in bytes: a hundred buckets with long names.
const MAX_PARAMETER_BYTES: usize = 32 * 1024;
/// The most buckets in a query.
const MAX_BUCKETS: usize = 100;

pub(super) async fn audit(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(&server, &request, Box::pin(answer(&request, &server))).await
}

async fn answer(request: &HttpRequest, server: &Server) -> Result<HttpResponse, HttpError> {
    server.admin().admit(request)?;
    if server.settings().audit_days.is_none() {
        return Err(HttpError::NotConfigured("the audit log is off: set NIZHAL_AUDIT_DAYS to a number of days"));
    }
    let rules: Vec<&str> = server.engine().schema.rules().iter().map(|rule| rule.name).collect();
    let wanted = parse(&query(request)?, &rules).map_err(HttpError::BadRequest)?;
    let since = wanted.since;
    let page = server.engine().store.audit(&wanted).await?;
    let next = page.entries.last().map_or(since, |entry| entry.version);
    let entries: Vec<Value> = page.entries.into_iter().map(shown).collect();
    let body = json!({"entries": entries, "nextVersion": next, "hasMore": page.has_more});
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(body))
}

/// What the query asks for, or what is wrong with it. A parameter that is there and empty asks for nothing.
fn parse(query: &[(String, String)], rules: &[&str]) -> Result<AuditQuery, String> {
    let mut wanted = AuditQuery { limit: DEFAULT_LIMIT, ..AuditQuery::default() };
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in query {
        if value.contains('\0') {
            return Err(format!("`{name}` holds U+0000, which nothing here does"));
        }
        if value.len() > MAX_PARAMETER_BYTES {
            return Err(format!("a parameter has at most {MAX_PARAMETER_BYTES} bytes"));
        }
        if name != "bucket" && seen.contains(&name.as_str()) {
            return Err(format!("`{name}` is given twice"));
        }
        seen.push(name);
        match name.as_str() {
            "bucket" | "buckets" | "actor" | "sinceVersion" | "untilVersion" | "limit" if value.is_empty() => {}
            "bucket" => wanted.buckets.extend(buckets(value, rules)?),
            "buckets" => {
                for value in value.split(',') {
                    wanted.buckets.extend(buckets(value.trim(), rules)?);
                }
            }
            "actor" => (wanted.actor, wanted.actor_suffix) = actor(value)?,
            "sinceVersion" => wanted.since = version(name, value)?,
            "untilVersion" => wanted.until = Some(version(name, value)?),
            "limit" => {
                let limit = value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
                wanted.limit = limit.ok_or_else(|| format!("`limit` is a number from 1 to {MAX_LIMIT}"))?;
            }
            _ => {
                return Err(format!(
                    "`{}` is no parameter: bucket, buckets, actor, sinceVersion, untilVersion and limit are",
                    name.chars().take(40).collect::<String>()
                ));
            }
        }
    }
    if wanted.buckets.len() > MAX_BUCKETS {
        return Err(format!("a query names at most {MAX_BUCKETS} buckets; ask several times"));
    }
    wanted.buckets.sort();
    wanted.buckets.dedup();
    Ok(wanted)
}

/// The buckets that a name stands for: `rule:value` for one, a bare value, as wire 1 has it, for those of all rules.
fn buckets(name: &str, rules: &[&str]) -> Result<Vec<String>, String> {
    if name.is_empty() {
        return Err("a bucket is named `rule:value`, such as `myShops:s1`, or by its value alone".to_owned());
    }
    Ok(match name.split_once(':') {
        Some((rule, _)) if rules.contains(&rule) => vec![name.to_owned()],
        _ => rules.iter().map(|rule| format!("{rule}:{name}")).collect(),
    })
}

/// The key of an actor, or the end of the keys of a user whose tenant is not given.
fn actor(text: &str) -> Result<(Option<String>, Option<String>), String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Named {
        Key([String; 2]),
        Claims(Claims),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Claims {
        user_id: String,
        owner_id: Option<String>,
    }
    let named = serde_json::from_str(text).map_err(
        |_| r#"`actor` is ["ownerId","userId"] as entries have it, or {"userId":"…"}, with "ownerId" or without"#,
    )?;
    Ok(match named {
        Named::Key(key) => (Some(json!(key).to_string()), None),
        Named::Claims(Claims { user_id, owner_id: Some(owner_id) }) => {
            (Some(json!([owner_id, user_id]).to_string()), None)
        }
        // Quotes within a text are escaped, so that no other key ends so.
        Named::Claims(Claims { user_id, owner_id: None }) => (None, Some(format!("\",{}]", json!(user_id)))),
    })
}

fn version(name: &str, value: &str) -> Result<i64, String> {
    let version = value.parse().ok().filter(|version| *version >= 0);
    version.ok_or_else(|| format!("`{name}` is a whole number from 0, such as the `nextVersion` of an answer"))
}

fn shown(entry: AuditEntry) -> Value {
    let AuditEntry { version, at, kind, id, name, status, .. } = entry;
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
    let mut shown = json!({
        "version": version,
        "at": at,
        "kind": kind,
        "buckets": read(&entry.buckets),
        "tables": read(&entry.tables),
    });
    if kind == "job" {
        shown["job"] = name.into();
        shown["jobId"] = id.into();
    } else {
        shown["actor"] = entry.actor.into();
        shown["mutator"] = name.into();
        shown["clientMutationId"] = id.into();
        shown["clientID"] = entry.client_id.into();
        shown["mutationID"] = entry.mutation_id.into();
    }
    if matches!(status.as_str(), "applied" | "done" | "dead") {
        shown["status"] = status.into();
    } else {
        shown["status"] = "refused".into();
        shown["code"] = status.into();
    }
    if let Some(args) = entry.args {
        shown["args"] = read(&args);
    }
    if let Some(place) = entry.place {
        shown["place"] = place.into();
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<AuditQuery, String> {
        parse(&actix_web::web::Query::<Vec<(String, String)>>::from_query(text).unwrap(), &["a", "b"])
    }

    #[test]
    fn a_query_is_read() {
        let wanted =
            parsed(r#"bucket=a:1&bucket=&buckets=b:2, a:1&actor=["o", "x"]&sinceVersion=3&untilVersion=9&limit=7"#)
                .unwrap();
        assert_eq!(
            wanted,
            AuditQuery {
                since: 3,
                until: Some(9),
                actor: Some(r#"["o","x"]"#.to_owned()),
                actor_suffix: None,
                buckets: vec!["a:1".to_owned(), "b:2".to_owned()],
                limit: 7,
            }
        );
        assert_eq!(parsed("bucket=x:1&bucket=a:1").unwrap().buckets, ["a:1", "a:x:1", "b:x:1"]);
        assert_eq!(parsed("actor=&limit=").unwrap(), AuditQuery { limit: DEFAULT_LIMIT, ..AuditQuery::default() });
    }

    #[test]
    fn inv32_a_query_that_does_not_read_says_why() {
        let many = "bucket=a:1&".repeat(101);
        for (text, wanted) in [
            ("buckets=a:1,,b:2", "rule:value"),
            ("sinceVersion=-1", "sinceVersion"),
            ("untilVersion=now", "untilVersion"),
            ("sinceVersion=99999999999999999999", "sinceVersion"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=1&limit=2", "twice"),
            ("actor=a%00", "U+0000"),
            ("actor=ana", "userId"),
            (r#"actor=["ana"]"#, "userId"),
            (r#"actor={"ownerId":"o1"}"#, "userId"),
            (r#"actor={"userId":"ana","shopId":"s1"}"#, "userId"),
            ("since=1", "no parameter"),
            (&many, "at most 100"),
        ] {
            let error = parsed(text).expect_err(text);
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
