//! The limit: the same work by the bare database, with nothing of ours around it.

use sqlx::{Connection, PgConnection, Row, postgres::PgPoolOptions};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// What `pgbench` runs for one push: sequence, claim, insert, answer, in one transaction.
const SCRIPT: &str = "\
\\set n random(1, 9000000000000000)
begin;
insert into bare_clients (id, last) values (:client_id, 1) on conflict (id) do update set last = bare_clients.last + 1;
insert into bare_mutations (id, name) values (:client_id * 10000000000000000 + :n, 'addEntry') on conflict (id) do nothing;
insert into bare_entries (id, shop_id, customer_id, amount, at) values (md5(:client_id::text || ' ' || :n::text), 's1', 'c1', 1.50, now());
commit;
";

/// A bare Postgres.
pub(crate) struct Postgres {
    url: String,
}

impl Postgres {
    pub(crate) async fn new(url: &str) -> Self {
        let mut db = PgConnection::connect(url).await.expect("the database");
        let sql = "create table bare_clients (id bigint primary key, last bigint); \
            create table bare_mutations (id numeric primary key, name text, at timestamptz default now()); \
            create table bare_entries (id text primary key, shop_id text, customer_id text, amount numeric, reason text, \
            at timestamptz, created_at timestamptz default now()); create index on bare_entries (shop_id, created_at, id)";
        sqlx::raw_sql(sql).execute(&mut db).await.expect("bare tables");
        Self { url: url.to_owned() }
    }

    /// Transactions per second of `pgbench` with prepared statements.
    pub(crate) async fn pushes(&self, connections: usize, period: Duration) -> f64 {
        let script = std::env::temp_dir().join(format!("nizhal-bench-{}.sql", std::process::id()));
        std::fs::write(&script, SCRIPT).expect("a script");
        let (url, file) = (self.url.clone(), script.clone());
        let output = tokio::task::spawn_blocking(move || {
            let args = [
                "-n",
                "-M",
                "prepared",
                "-j",
                "2",
                "-c",
                &connections.to_string(),
                "-T",
                &period.as_secs().to_string(),
            ]
            .map(str::to_owned);
            Command::new("pgbench").args(args).arg("-f").arg(file).arg(url).output().expect("pgbench is installed")
        });
        let output = output.await.expect("pgbench ran");
        let _ = std::fs::remove_file(script);
        let text = String::from_utf8_lossy(&output.stdout);
        let tps = text
            .lines()
            .find_map(|line| line.strip_prefix("tps = "))
            .unwrap_or_else(|| panic!("pgbench: {text} {}", String::from_utf8_lossy(&output.stderr)));
        tps.split(' ').next().and_then(|number| number.parse().ok()).expect("a rate")
    }

    /// Puts this many rows into the synced table.
    pub(crate) async fn seed(&self, rows: u32) {
        let mut db = PgConnection::connect(&self.url).await.expect("the database");
        let sql = "insert into entries (id, shop_id, customer_id, amount, reason, at) select 'row-' || i, 's1', \
            'customer-' || (i % 100), 1234.50, 'rice and dal', '2026-01-01' from generate_series(1, $1) i";
        sqlx::query(sql).bind(i64::from(rows)).execute(&mut db).await.expect("rows");
        sqlx::raw_sql("vacuum analyze entries").execute(&mut db).await.expect("analyzed");
    }

    /// The bare driver fetches the synced rows as binary columns and makes no JSON; rows per second.
    pub(crate) async fn fetch(&self, at_least: u32) -> f64 {
        use futures_util::TryStreamExt;
        let pool = PgPoolOptions::new().max_connections(1).connect(&self.url).await.expect("the database");
        let start = Instant::now();
        let sql = "select id, shop_id, customer_id, amount, reason, at, created_at, updated_at, deleted_at from entries \
            where shop_id = 's1'";
        let mut rows = sqlx::query(sql).fetch(&pool);
        let (mut count, mut bytes) = (0_u32, 0);
        while let Some(row) = rows.try_next().await.expect("a row") {
            count += 1;
            bytes += row.get::<&str, _>(0).len();
        }
        assert!(count >= at_least && bytes > 0);
        f64::from(count) / start.elapsed().as_secs_f64()
    }
}
