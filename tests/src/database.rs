//! A fresh database for each test, and plain SQL on it, written apart from the engine.

use crate::{Cluster, TempDir};
use sqlx::{AssertSqlSafe, Connection as _, Executor, PgConnection, Row, SqliteConnection, ValueRef};
use std::time::Duration;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL, from the cluster of this process.
    Postgres,
    /// A SQLite file.
    Sqlite,
}

/// One fresh, empty database; gone when dropped.
#[derive(Debug)]
pub struct Database {
    kind: Kind,
    url: String,
    /// What is dropped with it; nothing in a cluster that is a test's own.
    name: Option<String>,
    _dir: Option<TempDir>,
}

impl Database {
    /// Makes one.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn new(kind: Kind) -> Self {
        let name = format!("t{}", uuid::Uuid::now_v7().simple());
        match kind {
            Kind::Postgres => {
                let cluster = Cluster::shared();
                let mut admin = PgConnection::connect(&cluster.url("postgres")).await.expect("the cluster answers");
                // Not in UTC: a server that leans on the session's time zone shows here.
                for statement in
                    [format!("create database {name}"), format!("alter database {name} set timezone to 'Asia/Colombo'")]
                {
                    admin.execute(AssertSqlSafe(statement)).await.expect("a fresh database");
                }
                Self { kind, url: cluster.url(&name), name: Some(name), _dir: None }
            }
            Kind::Sqlite => {
                let dir = TempDir::new("sqlite");
                let url = format!("sqlite://{}", dir.path().join("test.db").display());
                Self { kind, url, name: None, _dir: Some(dir) }
            }
        }
    }

    /// The database of this name in a cluster of the test's own, which takes it along when it goes.
    pub fn within(cluster: &Cluster, name: &str) -> Self {
        Self { kind: Kind::Postgres, url: cluster.url(name), name: None, _dir: None }
    }

    /// The Postgres database of this URL, which somebody else takes away.
    pub fn at(url: &str) -> Self {
        Self { kind: Kind::Postgres, url: url.to_owned(), name: None, _dir: None }
    }

    /// The SQLite file of this path, which somebody else takes away.
    pub fn file(path: &std::path::Path) -> Self {
        Self { kind: Kind::Sqlite, url: format!("sqlite://{}", path.display()), name: None, _dir: None }
    }

    /// Which database it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What `DATABASE_URL` says.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection of the test's own.
    ///
    /// # Panics
    /// When the database cannot be reached.
    pub async fn connect(&self) -> Connection {
        match self.kind {
            Kind::Postgres => {
                Connection::Postgres(PgConnection::connect(&self.url).await.expect("the database answers"))
            }
            Kind::Sqlite => {
                let options: sqlx::sqlite::SqliteConnectOptions = self.url.parse().expect("a SQLite URL");
                // `psql`-like: nothing set that a stranger's connection would not set.
                let options = options.create_if_missing(true).busy_timeout(Duration::from_secs(60));
                Connection::Sqlite(SqliteConnection::connect_with(&options).await.expect("the file opens"))
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(name) = self.name.take() else { return };
        // On a thread of its own, because a runtime may not be started or blocked within a runtime.
        let admin = Cluster::shared().url("postgres");
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let mut admin = PgConnection::connect(&admin).await.ok()?;
                admin.execute(AssertSqlSafe(format!("drop database {name} with (force)"))).await.ok()
            })
        });
        let _ = dropping.join();
    }
}

/// A plain connection to either database.
#[derive(Debug)]
pub enum Connection {
    /// To PostgreSQL.
    Postgres(PgConnection),
    /// To a SQLite file.
    Sqlite(SqliteConnection),
}

impl Connection {
    /// Runs statements; the number of rows they touched.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn execute(&mut self, sql: &str) -> u64 {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What the database says.
    pub async fn try_execute(&mut self, sql: &str) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        Ok(match self {
            Self::Postgres(db) => db.execute(sqlx::raw_sql(sql)).await?.rows_affected(),
            Self::Sqlite(db) => db.execute(sqlx::raw_sql(sql)).await?.rows_affected(),
        })
    }

    /// Begins a transaction whose queries all see one moment; ends with `commit`.
    pub async fn begin_snapshot(&mut self) {
        let begin = match self {
            Self::Postgres(_) => "begin isolation level repeatable read",
            Self::Sqlite(_) => "begin",
        };
        self.execute(begin).await;
    }

    /// The rows of a query whose columns are all text.
    ///
    /// # Panics
    /// When the database refuses.
    pub async fn rows(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        macro_rules! rows {
            ($db:expr) => {{
                let rows = $db.fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await;
                let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
                rows.iter().map(|row| (0..row.len()).map(|at| text!(row, at)).collect()).collect()
            }};
        }
        macro_rules! text {
            ($row:expr, $at:expr) => {{
                let value = $row.try_get_raw($at).expect("the column is there");
                (!value.is_null()).then(|| $row.try_get_unchecked::<String, _>($at).expect("a column of text"))
            }};
        }
        match self {
            Self::Postgres(db) => rows!(db),
            Self::Sqlite(db) => rows!(db),
        }
    }

    /// The one text that a query answers.
    ///
    /// # Panics
    /// When it answers anything else.
    pub async fn text(&mut self, sql: &str) -> String {
        let rows = self.rows(sql).await;
        match rows.as_slice() {
            [row] if row.len() == 1 => row[0].clone().unwrap_or_else(|| panic!("{sql}: NULL")),
            other => panic!("{sql}: {other:?}"),
        }
    }

    /// How many rows of `from` there are; `from` is a table and may go on with `where …`.
    pub async fn count(&mut self, from: &str) -> u64 {
        let count = self.text(&format!("select cast(count(*) as text) from {from}")).await;
        count.parse().expect("a count is a number")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn plain_sql(kind: Kind) {
        let database = Database::new(kind).await;
        let mut db = database.connect().await;
        db.execute("create table t (a text, b text); insert into t values ('x', null), ('y', 'z')").await;
        assert_eq!(db.count("t where b is null").await, 1);
        assert_eq!(db.rows("select a, b from t order by a").await[0], [Some("x".to_owned()), None]);
        assert_eq!(db.text("select b from t where a = 'y'").await, "z");
    }

    #[test]
    fn postgres() {
        block_on(plain_sql(Kind::Postgres));
    }

    #[test]
    fn sqlite() {
        block_on(plain_sql(Kind::Sqlite));
    }
}
