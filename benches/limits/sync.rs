//! Pulls on Postgres: first syncs beside the bare driver, and what a pull costs as tables, buckets and history grow.

use super::{
    Size,
    app::Running,
    first_sync::FirstSync,
    limit, load,
    report::{Report, median, rss_mb},
    seed,
};

/// All of it, on tables that grow. Each time the server starts again: what Postgres found cheap for a table of a hundredth of the
/// size it would else hold against the plan that it keeps, and plan every pull anew for some hundreds of them.
pub(crate) async fn postgres(report: &mut Report, url: &str, size: Size) {
    let mut server = Running::start(url).await;
    let bare = limit::Postgres::new(url).await;
    seed::bucket_members(&server).await;
    report.section("First sync, Postgres: rows a second, beside the bare driver fetching the same binary columns");
    let mut grown = Vec::new();
    let [small, large] = size.rows;
    let (mut have, mut took) = (0, Vec::new());
    for rows in [small / 10, small, large] {
        seed::entries(url, have, rows).await;
        have = rows;
        server.stop().await;
        server = Running::start(url).await;
        if rows >= small {
            took.push(f64::from(rows) / first_sync(report, &server, &bare, rows, size).await);
        }
        grown.push(Grown::measure(&server, &bare, rows, size).await);
    }
    let times = f64::from(large) / f64::from(small);
    report.row(&format!("time for {times} times the rows, streamed, times"), took[1] / took[0], Some(times), "≈ 1");
    report.section(
        "Pull with nothing new, Postgres: requests a second of one connection, beside an indexed `select` over HTTP",
    );
    for Grown { rows, idle, bare, .. } in &grown {
        report.row(&format!("{rows} rows in the table"), idle.0, Some(*bare), "≥ 0.5");
        report.row(&format!("{rows} rows in the table, ms (p50)"), idle.1, None, "≤ 1");
    }
    report.section("Pull of one change, Postgres: milliseconds");
    for Grown { rows, change, .. } in &grown {
        report.row(&format!("{rows} rows, 1 bucket, p50"), change.0, None, "");
        report.row(&format!("{rows} rows, 1 bucket, p99"), change.1, None, "");
    }
    for buckets in seed::BUCKETS {
        one_change(report, &server, buckets, have, size).await;
    }
    seed::history(url, have).await;
    let cursor = load::caught_up(&server, "b100").await;
    let idle = load::idle_pulls(&server, "b100", &cursor, size.period).await;
    report.row(&format!("nothing new, 100 buckets, {have} tombstones behind, p50"), idle.ms(0.5), None, "");
    report.row("memory of server and load together after all that, MB", rss_mb(), None, "");
    server.stop().await;
}

async fn first_sync(report: &mut Report, server: &Running, bare: &limit::Postgres, rows: u32, size: Size) -> f64 {
    let mut copied = Vec::new();
    let FirstSync { streamed, paged, limit, most_mb } = FirstSync::measure(server, rows, size, async || {
        copied.push(bare.copy(rows).await);
        bare.fetch(rows).await
    })
    .await;
    let (limit, copied) = (Some(limit), Some(median(&copied)));
    report.row(&format!("{rows} rows, streamed"), streamed, limit, "≥ 0.5");
    report.row(&format!("{rows} rows, paged by 10,000"), paged, limit, "≥ 0.5");
    report.row(&format!("{rows} rows, streamed, beside `COPY (SELECT row_to_json …)`"), streamed, copied, "≥ 2");
    report.row(&format!("{rows} rows, streamed: memory above idle, at most, MB"), most_mb, None, "≤ 50");
    streamed
}

async fn one_change(report: &mut Report, server: &Running, buckets: u32, rows: u32, size: Size) {
    let user = format!("b{buckets}");
    let cursor = load::caught_up(server, &user).await;
    let times = load::one_change(server, &user, cursor, size.changes).await;
    let target = if buckets == 100 { "≤ 10" } else { "" };
    let at = if buckets == 1 { "1 bucket, again".to_owned() } else { format!("{buckets} buckets") };
    report.row(&format!("{rows} rows, {at}, p50"), times.ms(0.5), None, "");
    report.row(&format!("{rows} rows, {at}, p99"), times.ms(0.99), None, target);
}

/// What pulls cost at this size of the table.
struct Grown {
    rows: u32,
    /// Requests a second, and the median in milliseconds.
    idle: (f64, f64),
    bare: f64,
    /// The median and the 99th percentile in milliseconds.
    change: (f64, f64),
}

impl Grown {
    async fn measure(server: &Running, bare: &limit::Postgres, rows: u32, size: Size) -> Self {
        let cursor = load::caught_up(server, "ann").await;
        let (mut rates, mut medians, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
        let select = limit::Select::start(bare.url()).await;
        for _ in 0..size.rounds {
            let times = load::idle_pulls(server, "ann", &cursor, size.period / 2).await;
            rates.push(times.rate());
            medians.push(times.ms(0.5));
            theirs.push(load::repeat(&select.url, "", "/", "{}", size.period / 2).await.rate());
        }
        select.stop().await;
        let cursor = load::caught_up(server, "b1").await;
        let change = load::one_change(server, "b1", cursor, size.changes).await;
        let idle = (median(&rates), median(&medians));
        Self { rows, idle, bare: median(&theirs), change: (change.ms(0.5), change.ms(0.99)) }
    }
}
