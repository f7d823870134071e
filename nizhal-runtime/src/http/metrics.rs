//! `GET /metrics`: counters, gauges and histograms in the text format of Prometheus, none of them by tenant.

use super::{
    bearer,
    error::{HttpError, respond},
    stats::{Database, database},
};
use crate::{
    counts::{BOUNDS_MS, Histogram},
    server::Server,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    web::Data,
};
use std::{
    fmt::{Display, Write},
    sync::atomic::Ordering::Relaxed,
};

pub(super) async fn metrics(request: HttpRequest, server: Data<Server>) -> HttpResponse {
    respond(&server, &request, Box::pin(answer(&request, &server))).await
}

async fn answer(request: &HttpRequest, server: &Server) -> Result<HttpResponse, HttpError> {
    if !server.settings().metrics_open {
        bearer::admin(server.settings().admin_password.as_ref(), request)?;
    }
    let database = database(server).await;
    let mut response = HttpResponse::Ok();
    response.insert_header((CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"));
    Ok(response.insert_header((CACHE_CONTROL, "no-store")).body(text(server, database.as_ref())))
}

fn text(server: &Server, database: Option<&Database>) -> String {
    let mut text = Text(String::new());
    let (counts, hub, store) = (server.counts(), server.hub().stats(), &server.engine().store);
    text.histogram("nizhal_pull_duration_seconds", "How long pulls took.", &counts.pull_time);
    text.one(
        "counter",
        "nizhal_pull_resets_total",
        "Pulls that made a device start again.",
        counts.resets.load(Relaxed),
    );
    text.one("counter", "nizhal_pull_rows_total", "Rows sent by pulls.", counts.rows.load(Relaxed));
    text.one(
        "counter",
        "nizhal_pull_bytes_total",
        "Bytes sent by pulls, before compression.",
        counts.bytes.load(Relaxed),
    );
    text.histogram("nizhal_push_duration_seconds", "How long pushes took.", &counts.push_time);
    let failed = counts.failed_pushes.load(Relaxed);
    text.one("counter", "nizhal_pushes_failed_total", "Pushes with a mutation that was not applied.", failed);
    text.many("counter", "nizhal_mutations_total", "Mutations by what became of them.", "status", counts.mutations());
    text.many("counter", "nizhal_errors_total", "Requests answered with an error.", "code", counts.errors());
    text.one("gauge", "nizhal_sockets", "Open WebSockets.", hub.sockets);
    text.one("gauge", "nizhal_subscriptions", "Buckets that sockets listen to.", hub.subscriptions);
    text.one("counter", "nizhal_pings_total", "Pings sent to sockets.", hub.pings_sent);
    text.one("counter", "nizhal_audit_entries_total", "Audit entries that this process wrote.", store.audit_count());
    let pool = store.pool_use();
    let used = [("idle", pool.idle), ("used", pool.open.saturating_sub(pool.idle))];
    text.many("gauge", "nizhal_database_connections", "Open database connections.", "state", used);
    text.one("gauge", "nizhal_database_connections_max", "As many connections as there may be.", pool.most);
    text.one("gauge", "nizhal_database_up", "Whether the database answered just now.", u8::from(database.is_some()));
    if let Some(Database { jobs, horizon, holder }) = database {
        let jobs = [("pending", jobs.pending), ("running", jobs.running), ("dead", jobs.dead)];
        text.many("gauge", "nizhal_jobs", "Jobs in the database.", "status", jobs);
        let help = "Versions that wait for an open transaction.";
        text.one("gauge", "nizhal_horizon_lag_versions", help, horizon.lag());
        let age = holder.as_ref().and_then(|holder| holder.age_seconds).unwrap_or_default();
        text.one(
            "gauge",
            "nizhal_horizon_held_seconds",
            "How long the oldest transaction that others wait for is open.",
            age,
        );
    }
    text.one("gauge", "nizhal_uptime_seconds", "How long the process runs.", server.uptime().as_secs());
    text.0
}

/// The text format, version 0.0.4. Names, helps and label values are ours and hold nothing to escape.
struct Text(String);

impl Text {
    fn line(&mut self, line: impl Display) {
        writeln!(self.0, "{line}").unwrap_or_else(|_| unreachable!("a String takes every write"));
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn one(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        self.head(kind, name, help);
        self.line(format_args!("{name} {value}"));
    }

    fn many<V: Display>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, V)>,
    ) {
        self.head(kind, name, help);
        for (of, value) in values {
            self.line(format_args!("{name}{{{label}=\"{of}\"}} {value}"));
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.head("histogram", name, help);
        let (up_to, sum) = histogram.read();
        for (bound, count) in BOUNDS_MS.iter().zip(up_to) {
            self.line(format_args!("{name}_bucket{{le=\"{}\"}} {count}", *bound as f64 / 1000.0));
        }
        let all = up_to[BOUNDS_MS.len()];
        self.line(format_args!("{name}_bucket{{le=\"+Inf\"}} {all}"));
        self.line(format_args!("{name}_sum {}", sum.as_secs_f64()));
        self.line(format_args!("{name}_count {all}"));
    }
}
