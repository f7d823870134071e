//! The same work on SQLite, beside the bare driver on a file with the same settings.

use crate::{
    Size,
    app::Running,
    limit, load,
    load::Pushes,
    report::{Report, median},
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
        let (mut single, mut batches, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            single.push(load::pushes(&server, Pushes { connections, size: 1, period }).await);
            theirs.push(bare.pushes(period).await);
            batches.push(load::pushes(&server, Pushes { connections, size: 50, period }).await);
        }
        let limit = Some(median(&theirs));
        report.row(&format!("push, {connections} connections, 1 mutation a request"), median(&single), limit, "");
        report.row(&format!("push, {connections} connections, 50 a request"), median(&batches), limit, "");
    }
    let took = load::drain(&server, "drained", size.outbox).await;
    report.row(&format!("an outbox of {} drained, seconds", size.outbox), took, None, "");
    server.stop().await;

    let url = file("pulls.db");
    let server = Running::start(&url).await;
    let rows = size.rows[0];
    server.fill(rows).await;
    let (mut paged, mut streamed, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        streamed.push(load::streamed_sync(&server, rows).await);
        theirs.push(limit::Sqlite::fetch(&url).await);
        paged.push(load::first_sync(&server, rows).await.0);
    }
    let limit = Some(median(&theirs));
    report.row(&format!("first sync of {rows} rows, streamed, rows a second"), median(&streamed), limit, "");
    report.row(&format!("first sync of {rows} rows, paged by 10,000"), median(&paged), limit, "");
    let cursor = load::caught_up(&server, "ann").await;
    let idle = load::idle_pulls(&server, &cursor, period).await;
    report.row(&format!("pull with nothing new among {rows} rows, ms (p50)"), idle.ms(0.5), None, "≤ 1");
    server.stop().await;
}
