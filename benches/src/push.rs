//! Pushes on Postgres beside `pgbench` running the bare statements.

use crate::{
    Size,
    app::Running,
    limit,
    load::{self, Pushes},
    report::{Report, median, rss_mb},
};

/// Ours and the limit in turn.
pub(crate) async fn postgres(report: &mut Report, url: &str, size: Size) {
    let server = Running::start(url).await;
    let bare = limit::Postgres::new(url).await;
    report.section("Push, Postgres: mutations a second, beside `pgbench` with one transaction for each");
    let period = size.period;
    for connections in [1, 16, 64] {
        let (mut single, mut batches, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            single.push(load::pushes(&server, Pushes { connections, size: 1, period }).await);
            theirs.push(bare.pushes(connections, period).await);
            batches.push(load::pushes(&server, Pushes { connections, size: 50, period }).await);
        }
        let limit = Some(median(&theirs));
        let at = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        let target = |target| if connections == 16 { target } else { "" };
        report.row(&format!("{at}, 1 mutation a request"), median(&single), limit, target("≥ 0.7"));
        report.row(&format!("{at}, 50 a request"), median(&batches), limit, target("≥ 3"));
    }
    let took = load::drain(&server, "drained", size.outbox).await;
    report.row(&format!("an outbox of {} drained, seconds", size.outbox), took, None, "");
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;
}
