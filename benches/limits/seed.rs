//! What the tables hold before pulls are measured.

use super::app::Running;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// How many buckets the users `b1`, `b10` … are in.
pub(crate) const BUCKETS: [u32; 4] = [1, 10, 100, 500];

/// How many buckets the user `wide` is in, on SQLite.
pub(crate) const MANY_BUCKETS: u32 = 5_000;

/// Users in many shops, each of which has a few rows.
pub(crate) async fn bucket_members(server: &Running) {
    for buckets in BUCKETS {
        let members = format!(
            "insert into members (shop_id, user_id) select 't' || i, 'b{buckets}' from generate_series(1, {buckets}) i"
        );
        server.execute(&members).await;
    }
    let rows = "insert into entries (id, shop_id, customer_id, amount, at) select 't' || i, 't' || (i % 500 + 1), 'c', 1.5, now() \
        from generate_series(0, 999) i";
    server.execute(rows).await;
}

/// On SQLite, the user `wide` in so many shops, each of which has a row.
pub(crate) async fn many_buckets(server: &Running) {
    let number =
        format!("with recursive n(i) as (select 0 union all select i + 1 from n where i < {MANY_BUCKETS} - 1)");
    server.execute(&format!("{number} insert into members (shop_id, user_id) select 't' || i, 'wide' from n")).await;
    let rows = "insert into entries (id, shop_id, customer_id, amount, at)";
    let at = "2026-01-01T00:00:00+00:00";
    server.execute(&format!("{number} {rows} select 't' || i, 't' || i, 'c', '1.5', '{at}' from n")).await;
}

/// On a connection of its own, which has no time-outs.
async fn run(url: &str, sql: &str) {
    let mut db = PgConnection::connect(url).await.expect("the database");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.expect("SQL that fits");
}

/// Fills shop `s1` up to this many rows, ten in a transaction as far as versions go, as if they had been there before.
pub(crate) async fn entries(url: &str, from: u32, to: u32) {
    let clock = "select setval('_nizhal_clock', (select last_value from _nizhal_clock) + 1 + $$)";
    run(url, &clock.replace("$$", &((to - from) / 10).to_string())).await;
    let rows = format!(
        "begin; alter table entries disable trigger user; insert into entries (id, shop_id, customer_id, amount, reason, at, \
         _nizhal_version) select 'row-' || i, 's1', 'customer-' || (i % 100), 1234.50, 'rice and dal', '2026-01-01', \
         (select last_value from _nizhal_clock) - ({to} - i) / 10 from generate_series({from} + 1, {to}) i; \
         alter table entries enable trigger user; commit"
    );
    run(url, &rows).await;
    run(url, "vacuum analyze entries").await;
}

/// As many tombstones as rows, in the buckets of `b100`.
pub(crate) async fn history(url: &str, count: u32) {
    let gone = format!(
        "insert into _nizhal_tombstones (rule, bucket, tbl, id, kind, version) select 'myShops', '[\"t' || (i % 100 + 1) || '\"]', \
         'entries', 'gone' || i, 'delete', 2 + i % 1000 from generate_series(1, {count}) i"
    );
    run(url, &gone).await;
    run(url, "vacuum analyze _nizhal_tombstones").await;
}
