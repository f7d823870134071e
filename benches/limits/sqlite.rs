//! The same work on SQLite, beside the bare driver on a file with the same settings.

use super::{
    Size,
    app::Running,
    first_sync::FirstSync,
    limit, load,
    rates::Rates,
    report::{Report, rss_mb},
    seed,
};
use nizhal_tests::TempDir;

/// Pushes, first syncs and pulls.
pub(crate) async fn all(report: &mut Report, size: Size) {
    let dir = TempDir::new("bench");
    let file = |name: &str| format!("sqlite://{}", dir.path().join(name).display());
    let url = file("ours.db");
    let server = Running::start(&url).await;
    let bare = limit::Sqlite::new(&file("bare.db")).await;
    report.section("SQLite, beside the bare driver: one writer with the bare statements and a commit for each, synced");
    let period = size.period / 2;
    for connections in [1, 16, 64] {
        let theirs = async || bare.pushes(period).await;
        let rates = Rates::measure(&server, connections, period, size.rounds, theirs).await;
        rates.tell(report, &format!("push, {connections} connections"), [""; 2]);
    }
    let took = load::drain(&server, "drained", size.outbox).await;
    report.row(&format!("an outbox of {} drained, seconds", size.outbox), took, None, "");
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;

    let url = file("pulls.db");
    let server = Running::start(&url).await;
    for rows in size.rows {
        server.fill(rows).await;
        pulls(report, &server, &url, rows, size).await;
    }
    seed::many_buckets(&server).await;
    let cursor = load::caught_up(&server, "wide").await;
    let change = load::one_change(&server, "wide", cursor, size.changes).await;
    report.row(
        &format!("pull of one change among {} buckets, ms (p50)", seed::MANY_BUCKETS),
        change.ms(0.5),
        None,
        "≤ 50",
    );
    report.row(
        &format!("pull of one change among {} buckets, ms (p99)", seed::MANY_BUCKETS),
        change.ms(0.99),
        None,
        "",
    );
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;
}

/// What pulls cost at this size of the table.
async fn pulls(report: &mut Report, server: &Running, url: &str, rows: u32, size: Size) {
    let first = FirstSync::measure(server, rows, size, async || limit::Sqlite::fetch(url).await).await;
    let FirstSync { streamed, paged, limit, most_mb } = first;
    let limit = Some(limit);
    report.row(&format!("first sync of {rows} rows, streamed, rows a second"), streamed, limit, "");
    report.row(&format!("first sync of {rows} rows, streamed: memory above idle, at most, MB"), most_mb, None, "≤ 50");
    report.row(&format!("first sync of {rows} rows, paged by 10,000"), paged, limit, "");
    let cursor = load::caught_up(server, "ann").await;
    let idle = load::idle_pulls(server, "ann", &cursor, size.period / 2).await;
    report.row(&format!("pull with nothing new among {rows} rows, ms (p50)"), idle.ms(0.5), None, "≤ 1");
    let change = load::one_change(server, "ann", cursor, size.changes).await;
    report.row(&format!("pull of one change among {rows} rows, ms (p50)"), change.ms(0.5), None, "");
    report.row(&format!("pull of one change among {rows} rows, ms (p99)"), change.ms(0.99), None, "≤ 10");
}
