//! The limit: the same work by the bare database, with nothing of ours around it.

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, web};
use sqlx::{
    ConnectOptions, Connection, PgConnection, Row, SqliteConnection,
    postgres::PgPoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    process::Command,
    str::FromStr,
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

    /// Transactions per second of `pgbench` with the bare statements.
    pub(crate) async fn pushes(&self, connections: usize, period: Duration) -> f64 {
        self.replay(SCRIPT, "pgbench", connections, period).await
    }

    /// Transactions per second of `pgbench` with prepared statements, in sessions of this name.
    pub(crate) async fn replay(&self, text: &str, application: &str, connections: usize, period: Duration) -> f64 {
        let script = std::env::temp_dir().join(format!("nizhal-bench-{}.sql", std::process::id()));
        std::fs::write(&script, text).expect("a script");
        let (url, file, application) = (self.url.clone(), script.clone(), application.to_owned());
        let rate = tokio::task::spawn_blocking(move || {
            let args = [
                "-n",
                "-M",
                "prepared",
                "-j",
                "2",
                "-c",
                &connections.to_string(),
                "-T",
                &period.as_secs().max(1).to_string(),
            ]
            .map(str::to_owned);
            // On a busy machine a short run may end before its connections are open; then again.
            (0..5).find_map(|_| {
                let mut pgbench = Command::new("pgbench");
                let run = pgbench.args(&args).arg("-f").arg(&file).arg(&url).env("PGAPPNAME", &application).output();
                let run = run.expect("pgbench is installed");
                let failed = String::from_utf8_lossy(&run.stderr);
                assert!(!failed.contains("aborted"), "pgbench could not replay it: {failed}");
                let text = String::from_utf8_lossy(&run.stdout);
                text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
            })
        });
        let rate = rate.await.expect("pgbench ran");
        let _ = std::fs::remove_file(script);
        rate.expect("pgbench says a rate")
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

    /// `COPY` of the same rows as JSON made by Postgres, for scale; rows per second.
    pub(crate) async fn copy(&self, rows: u32) -> f64 {
        use futures_util::TryStreamExt;
        let mut db = PgConnection::connect(&self.url).await.expect("the database");
        let start = Instant::now();
        let sql = "copy (select row_to_json(r) from (select id, shop_id, customer_id, amount, reason, at, created_at, updated_at, \
            deleted_at from entries where shop_id = 's1') r) to stdout";
        let mut parts = db.copy_out_raw(sql).await.expect("a copy");
        let mut bytes = 0;
        while let Some(part) = parts.try_next().await.expect("a part") {
            bytes += part.len();
        }
        assert!(bytes > rows as usize * 100);
        f64::from(rows) / start.elapsed().as_secs_f64()
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// One bare indexed `select` over HTTP: what a pull with nothing new is measured by.
pub(crate) struct Select {
    http: ServerHandle,
    /// Where it listens.
    pub(crate) url: String,
}

impl Select {
    pub(crate) async fn start(database: &str) -> Self {
        let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false).connect(database).await;
        let pool = web::Data::new(pool.expect("the database"));
        let http = HttpServer::new(move || {
            App::new().app_data(pool.clone()).route(
                "/",
                web::post().to(async |pool: web::Data<sqlx::PgPool>, _body: web::Bytes| {
                    let sql = "select id from entries where shop_id = $1 and _nizhal_version > $2 \
                        order by _nizhal_version limit 1000";
                    let rows = sqlx::query(sql).bind("s1").bind(i64::MAX - 1).fetch_all(&**pool).await.expect("rows");
                    HttpResponse::Ok().json(rows.len())
                }),
            )
        });
        let http = http.workers(2).bind(("127.0.0.1", 0)).expect("a free port");
        let url = format!("http://{}", http.addrs()[0]);
        let running = http.run();
        let handle = running.handle();
        actix_web::rt::spawn(running);
        Self { http: handle, url }
    }

    pub(crate) async fn stop(self) {
        self.http.stop(true).await;
    }
}

/// A bare SQLite file.
pub(crate) struct Sqlite {
    db: tokio::sync::Mutex<SqliteConnection>,
}

impl Sqlite {
    pub(crate) async fn new(url: &str) -> Self {
        let options = SqliteConnectOptions::from_str(url).expect("an address").create_if_missing(true);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut db = options.connect().await.expect("a file");
        let sql = "create table clients (id text primary key, last integer); \
            create table mutations (id text primary key, name text, at text default current_timestamp); \
            create table entries (id text primary key, shop_id text, customer_id text, amount text, reason text, at text); \
            create index entries_by_shop on entries (shop_id, at, id)";
        sqlx::raw_sql(sql).execute(&mut db).await.expect("bare tables");
        Self { db: tokio::sync::Mutex::new(db) }
    }

    /// Transactions a second of one writer.
    pub(crate) async fn pushes(&self, period: Duration) -> f64 {
        let mut db = self.db.lock().await;
        let (start, mut done) = (Instant::now(), 0);
        let from: i64 =
            sqlx::query_scalar("select count(*) from mutations").fetch_one(&mut *db).await.expect("a count");
        while start.elapsed() < period {
            let id = (from + done).to_string();
            let mut tx = db.begin_with("begin immediate").await.expect("a transaction");
            let sequence =
                "insert into clients (id, last) values ('c', 1) on conflict (id) do update set last = last + 1";
            sqlx::query(sequence).execute(&mut *tx).await.expect("a write");
            for sql in [
                "insert into mutations (id, name) values ($1, 'addEntry') on conflict (id) do nothing",
                "insert into entries (id, shop_id, customer_id, amount, at) values ($1, 's1', 'c1', '1.50', '2026-01-01')",
            ] {
                sqlx::query(sql).bind(&id).execute(&mut *tx).await.expect("a write");
            }
            tx.commit().await.expect("a commit");
            done += 1;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
        let done = done as f64;
        done / start.elapsed().as_secs_f64()
    }

    /// The bare driver fetches the synced rows of this file; rows per second.
    pub(crate) async fn fetch(url: &str) -> f64 {
        use futures_util::TryStreamExt;
        let mut db = SqliteConnection::connect(url).await.expect("the file");
        let start = Instant::now();
        let sql = "select id, shop_id, customer_id, amount, reason, at, created_at, updated_at, deleted_at from entries \
            where shop_id = 's1'";
        let mut rows = sqlx::query(sql).fetch(&mut db);
        let (mut count, mut bytes) = (0_u32, 0);
        while let Some(row) = rows.try_next().await.expect("a row") {
            count += 1;
            bytes += row.get::<&str, _>(0).len();
        }
        assert!(bytes > 0);
        f64::from(count) / start.elapsed().as_secs_f64()
    }
}
