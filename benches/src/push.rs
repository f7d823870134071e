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
    for connections in [1, 16, 64] {
        let rates = Rates::measured(&server, &bare, connections, size).await;
        let at = if connections == 1 { "1 connection".to_owned() } else { format!("{connections} connections") };
        rates.tell(report, &at, if connections == 16 { ["≥ 0.7", "≥ 3"] } else { [""; 2] });
    }
    let took = load::drain(&server, "drained", size.outbox).await;
    report.row(&format!("an outbox of {} drained, seconds", size.outbox), took, None, "");
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;

    let server = Running::start_unaudited(url).await;
    Rates::measured(&server, &bare, 16, size).await.tell(report, "16 connections, no audit log", [""; 2]);
    server.stop().await;
}

/// Medians of mutations a second.
struct Rates {
    single: f64,
    batches: f64,
    limit: f64,
}

impl Rates {
    async fn measured(server: &Running, bare: &limit::Postgres, connections: usize, size: Size) -> Self {
        let period = size.period;
        let (mut single, mut batches, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..size.rounds {
            single.push(load::pushes(server, Pushes { connections, size: 1, period }).await);
            theirs.push(bare.pushes(connections, period).await);
            batches.push(load::pushes(server, Pushes { connections, size: 50, period }).await);
        }
        Self { single: median(&single), batches: median(&batches), limit: median(&theirs) }
    }

    fn tell(&self, report: &mut Report, at: &str, [single, batches]: [&str; 2]) {
        report.row(&format!("{at}, 1 mutation a request"), self.single, Some(self.limit), single);
        report.row(&format!("{at}, 50 a request"), self.batches, Some(self.limit), batches);
    }
}
