//! `GET /metrics`, read by a parser that takes nothing but the text format of Prometheus.

use crate::fixture::{add, two_shops};
use nizhal_tests::{App, both, token};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

both![metrics_are_in_the_text_format, metrics_are_the_admins_unless_open];

/// A sample: its name, its labels, its value.
type Sample = (String, BTreeMap<String, String>, f64);

/// One family of metrics.
#[derive(Debug)]
struct Family {
    kind: String,
    samples: Vec<Sample>,
}

/// Reads the text format 0.0.4, strictly: each family once, its help, its type, then its samples, no series twice.
fn parse(text: &str) -> BTreeMap<String, Family> {
    assert!(text.ends_with('\n') && !text.contains('\r'), "lines end with a line feed");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut series = BTreeSet::new();
    let mut now = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help has a text");
            assert!(!help.is_empty() && is_name(name), "{line}");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} "))).expect("a type");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} is a {kind}");
            let family = Family { kind: kind.to_owned(), samples: Vec::new() };
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} is there twice");
            name.clone_into(&mut now);
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = families.get_mut(&now).unwrap_or_else(|| panic!("{line} has no family"));
        let rest = name.strip_prefix(&now).unwrap_or_else(|| panic!("{line} is in {now}"));
        let allowed: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
        assert!(allowed.contains(&rest), "{line} in a {}", family.kind);
        assert!(series.insert((name.clone(), labels.clone())), "{line} is there twice");
        assert!(family.kind != "counter" || value >= 0.0, "{line}");
        family.samples.push((name, labels, value));
    }
    families.iter().filter(|(_, family)| family.kind == "histogram").for_each(|(name, family)| histogram(name, family));
    families
}

fn is_name(name: &str) -> bool {
    let first = |char: char| char.is_ascii_alphabetic() || char == '_';
    name.starts_with(first) && name.chars().all(|char| first(char) || char.is_ascii_digit())
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} has no value"));
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect("labels end")),
        None => (series, ""),
    };
    assert!(is_name(name), "{line:?}");
    let labels: BTreeMap<String, String> = (labels.split(',').filter(|label| !label.is_empty()))
        .map(|label| {
            let (label, value) = label.split_once('=').expect("a label has a value");
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect("in quotes");
            assert!(is_name(label) && !value.contains(['"', '\\', '\n']), "{line:?}");
            (label.to_owned(), value.to_owned())
        })
        .collect();
    let value = value.parse().unwrap_or_else(|_| panic!("{line:?} is no number"));
    (name.to_owned(), labels, value)
}

fn histogram(name: &str, family: &Family) {
    let bucket = format!("{name}_bucket");
    let bound = |labels: &BTreeMap<String, String>| match labels["le"].as_str() {
        "+Inf" => f64::INFINITY,
        bound => bound.parse().expect("a bound is a number"),
    };
    let buckets: Vec<(f64, f64)> =
        family.samples.iter().filter(|(name, ..)| *name == bucket).map(|(_, le, count)| (bound(le), *count)).collect();
    assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1), "{name}: {buckets:?}");
    let last = buckets.last().expect("there are buckets");
    assert_eq!((last.0, last.1), (f64::INFINITY, value(family, &format!("{name}_count"), &[])));
    assert!(value(family, &format!("{name}_sum"), &[]) >= 0.0);
}

fn value(family: &Family, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels: BTreeMap<String, String> =
        labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    let found = family.samples.iter().find(|(known, with, _)| known == name && *with == labels);
    found.unwrap_or_else(|| panic!("no {name} {labels:?} in {family:?}")).2
}

async fn metrics_are_in_the_text_format(mut app: App) {
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    app.restart();
    two_shops(&app).await;
    let mut phone = app.device("phone", "ana", "s1");
    add(&mut phone, "c1").await;
    add(&mut phone, "c2").await;
    phone.mutate("addCustomer", &json!({"clientId": 7})).await.expect(422);
    phone.pull().await;
    let mut socket = app.stream("", Some(&phone.token)).await.expect("ana may listen");
    socket.ready().await;
    let reply = app.get("/metrics", token::ADMIN).await.expect(200);
    assert_eq!(reply.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let families = parse(&reply.text);
    let of = |name: &str, labels: &[(&str, &str)]| value(&families[name], name, labels);
    for (name, labels, wanted) in [
        ("nizhal_pull_rows_total", &[][..], 2.0),
        ("nizhal_pull_resets_total", &[], 0.0),
        ("nizhal_pushes_failed_total", &[], 1.0),
        ("nizhal_mutations_total", &[("status", "applied")], 2.0),
        ("nizhal_mutations_total", &[("status", "rejected")], 1.0),
        ("nizhal_mutations_total", &[("status", "duplicate")], 0.0),
        ("nizhal_errors_total", &[("code", "invalid_args")], 1.0),
        ("nizhal_audit_entries_total", &[], 3.0),
        ("nizhal_sockets", &[], 1.0),
        ("nizhal_jobs", &[("status", "pending")], 0.0),
        ("nizhal_horizon_lag_versions", &[], 0.0),
        ("nizhal_database_up", &[], 1.0),
    ] {
        assert_eq!(of(name, labels), wanted, "{name} {labels:?}");
    }
    let count = |name: &str| value(&families[name], &format!("{name}_count"), &[]);
    assert_eq!((count("nizhal_pull_duration_seconds"), count("nizhal_push_duration_seconds")), (1.0, 3.0));
    assert!(of("nizhal_pull_bytes_total", &[]) > 100.0);
    let (open, most) = (&[("state", "used")], of("nizhal_database_connections_max", &[]));
    assert!(of("nizhal_database_connections", open) <= most);
    // Tenants, users and devices name no series.
    for secret in ["ana", "s1", "o1", "phone", "c1"] {
        assert!(!reply.text.contains(&format!("\"{secret}")), "{}", reply.text);
    }
}

async fn metrics_are_the_admins_unless_open(mut app: App) {
    app.get("/metrics", "").await.refused(501, "not_implemented");
    app.set_up = app.set_up.clone().env("NIZHAL_ADMIN_PASSWORD", token::ADMIN);
    app.restart();
    let ana = token::signed(&token::claims("ana", Some("s1")));
    for wrong in ["", "hunter", &ana] {
        app.get("/metrics", wrong).await.refused(401, "unauthorized");
    }
    parse(&app.get("/metrics", token::ADMIN).await.expect(200).text);
    app.set_up = app.set_up.clone().env("NIZHAL_METRICS", "open");
    app.restart();
    parse(&app.get("/metrics", "").await.expect(200).text);
    app.get("/nizhal/stats", "").await.refused(401, "unauthorized");
}
