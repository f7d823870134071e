//! Pushes on Postgres beside `pgbench` running the bare statements.

use super::{
    Size,
    app::Running,
    limit, load,
    rates::Rates,
    report::{Report, rss_mb},
};

/// Ours and the limit in turn.
pub(crate) async fn postgres(report: &mut Report, url: &str, size: Size) {
    let server = Running::start(url).await;
    let bare = limit::Postgres::new(url).await;
    report.section("Push, Postgres: mutations a second, beside `pgbench` with one transaction for each");
    for connections in [1, 16, 64] {
        let rates = rates(&server, &bare, connections, size).await;
        let at = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        rates.tell(report, &at, if connections == 16 { ["≥ 0.7", "≥ 3"] } else { [""; 2] });
    }
    let took = load::drain(&server, "drained", size.outbox).await;
    report.row(&format!("an outbox of {} drained, seconds", size.outbox), took, None, "");
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;

    let server = Running::start_unaudited(url).await;
    rates(&server, &bare, 16, size).await.tell(report, "16 connections, no audit log", [""; 2]);
    server.stop().await;
}

async fn rates(server: &Running, bare: &limit::Postgres, connections: usize, size: Size) -> Rates {
    let period = size.period;
    Rates::measure(server, connections, period, size.rounds, async || bare.pushes(connections, period).await).await
}
