//! What ten times the work costs: linear is 1, quadratic is 10. On Postgres, in sessions that did other things before.

use super::{Size, app::Running, report::Report};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Instant;

/// One bulk statement after a small one, and one transaction over many buckets.
pub(crate) async fn postgres(report: &mut Report, url: &str, size: Size) {
    let server = Running::start(url).await;
    report
        .section("Growth, Postgres: seconds for the larger of two works, beside ten times the seconds for the smaller");
    let (small, large) = (size.rows[0] / 50, size.rows[0] / 5);
    let bulk = [bulk_update(url, small).await, bulk_update(url, large).await];
    let row = format!("one update of {large} rows after one of a single row in the same session");
    report.row(&row, bulk[1], Some(bulk[0] * 10.0), "≤ 1.5");
    let import = [import(url, small).await, import(url, large).await];
    let row = format!("an import row by row over {large} buckets in one transaction");
    report.row(&row, import[1], Some(import[0] * 10.0), "≤ 1.5");
    server.stop().await;
}

async fn run(db: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await.expect("SQL that fits");
}

const VALUES: &str = "insert into entries (id, shop_id, customer_id, amount, at)";

/// The plan of a trigger's join is made by the session's first statement.
async fn bulk_update(url: &str, rows: u32) -> f64 {
    let mut db = PgConnection::connect(url).await.expect("the database");
    run(
        &mut db,
        format!("{VALUES} select 'bulk{rows}-' || i, 'bulk{rows}', 'c', 1, now() from generate_series(1, {rows}) i"),
    )
    .await;
    run(&mut db, format!("update entries set amount = 2 where id = 'bulk{rows}-1'")).await;
    let start = Instant::now();
    run(&mut db, format!("update entries set amount = 3 where shop_id = 'bulk{rows}'")).await;
    start.elapsed().as_secs_f64()
}

/// Each statement notes one bucket more.
async fn import(url: &str, buckets: u32) -> f64 {
    let mut db = PgConnection::connect(url).await.expect("the database");
    let start = Instant::now();
    let insert = format!("{VALUES} values ('import{buckets}-' || i, 'import{buckets}-' || i, 'c', 1, now())");
    run(&mut db, format!("do $$ begin for i in 1..{buckets} loop {insert}; end loop; end $$")).await;
    start.elapsed().as_secs_f64()
}
