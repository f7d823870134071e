//! `GET /metrics`: counters, gauges and histograms in the text format of Prometheus, none of them by tenant.

use super::{
    error::HttpError,
    respond::respond,
    stats::{Database, database},
};
use crate::{
    cluster::Health,
    counts::{BOUNDS_MS, Histogram},
    http::Server,
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
        server.admin().admit(request)?;
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
    let admission = server.admission();
    text.one("gauge", "nizhal_requests_in_flight", "Pulls and pushes in flight.", admission.requests().taken());
    let bytes = admission.bytes().taken();
    text.one(
        "gauge",
        "nizhal_bytes_in_flight",
        "Bytes of requests worked on, and of answers and frames to be sent.",
        bytes,
    );
    text.one("gauge", "nizhal_sockets", "Open WebSockets.", hub.sockets);
    text.one("gauge", "nizhal_subscriptions", "Buckets that sockets listen to.", hub.subscriptions);
    text.one("counter", "nizhal_pings_total", "Pings sent to sockets.", hub.pings_sent);
    realtime(&mut text, server);
    text.one("counter", "nizhal_audit_entries_total", "Audit entries that this process wrote.", store.audit_count());
    let pool = store.pool_use();
    let used = [("idle", pool.idle), ("used", pool.open.saturating_sub(pool.idle))];
    text.many("gauge", "nizhal_database_connections", "Open database connections.", "state", used);
    text.one("gauge", "nizhal_database_connections_max", "As many connections as there may be.", pool.most);
    text.one("gauge", "nizhal_database_up", "Whether the database answered just now.", u8::from(database.is_some()));
    if let Some(Database { jobs, horizon, holder, blobs }) = database {
        if let Some(counts) = blobs {
            let count = [("referenced", counts.stored - counts.orphaned), ("orphaned", counts.orphaned)];
            text.many("gauge", "nizhal_blobs", "Blobs whose bytes are stored.", "state", count);
            let orphaned = counts.orphaned_bytes;
            let bytes = [("referenced", counts.stored_bytes - orphaned), ("orphaned", orphaned)];
            text.many("gauge", "nizhal_blob_bytes", "Bytes of stored blobs.", "state", bytes);
            text.one("gauge", "nizhal_blob_uploads", "Uploads that are not complete.", counts.uploads);
        }
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

fn realtime(text: &mut Text, server: &Server) {
    let (realtime, adapters) = (server.realtime(), &server.realtime().adapters);
    let closed = server.sockets().closed_by_code();
    text.many(
        "counter",
        "nizhal_sockets_closed_total",
        "Closed WebSockets by our code; 0 are those that left.",
        "code",
        closed,
    );
    let each = |count: fn(&Health) -> u64| adapters.iter().map(move |line| (line.adapter.name(), count(&line.health)));
    let of = "adapter";
    text.many(
        "gauge",
        "nizhal_realtime_up",
        "Whether others are heard and told.",
        of,
        each(|health| health.is_up().into()),
    );
    let received = each(|health| health.received.load(Relaxed));
    text.many("counter", "nizhal_realtime_received_total", "Messages that were heard.", of, received);
    let published = each(|health| health.published.load(Relaxed));
    text.many("counter", "nizhal_realtime_published_total", "Messages that others were told.", of, published);
    let failures = each(|health| health.failures.load(Relaxed));
    text.many("counter", "nizhal_realtime_failures_total", "Faults of hearing or telling.", of, failures);
    let healed = each(|health| health.healed.load(Relaxed));
    text.many(
        "counter",
        "nizhal_realtime_healed_total",
        "Times that everybody was told to pull after a gap.",
        of,
        healed,
    );
    let ((waiting, dropped), (reads, hits)) = (realtime.outbox(), realtime.scopes.counts());
    text.one("gauge", "nizhal_realtime_waiting", "Buckets that others are to be told of.", waiting);
    text.one("counter", "nizhal_realtime_dropped_total", "What was told as `everything` for want of room.", dropped);
    text.one("gauge", "nizhal_realtime_servers", "Other servers that live.", realtime.presence.peers());
    text.one("counter", "nizhal_scope_reads_total", "Scopes of sockets read from the database.", reads);
    text.one("counter", "nizhal_scopes_kept_total", "Scopes of sockets that were still known.", hits);
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
        values: impl IntoIterator<Item = (impl Display, V)>,
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
