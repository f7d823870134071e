//! A private PostgreSQL cluster for each test process, which dies with the process however that ends.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Whether a commit reaches the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// `fsync=off`: right for everything but a crash of the machine.
    Fast,
    /// `fsync=on`.
    Synced,
}

/// A running cluster.
///
/// A shell holds it. Its standard input is a pipe from this process; when the pipe closes, also by kill -9, the shell
/// stops the cluster and removes its directory.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Child,
    port: u16,
}

const SUPERVISE: &str = r#"
set -e
fail() { echo "FAILED"; cat "$dir/log"; exit 1; }
umask 077
mkdir "$dir"
trap 'cd /; rm -rf "$dir"' EXIT
trap : INT TERM HUP
cd "$dir"
"$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || fail
"$bin/pg_ctl" -D data -l log -w -t 120 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 \
  -c fsync=$fsync -c full_page_writes=$fsync -c shared_buffers=64MB -c log_min_messages=warning" start >>log 2>&1 || fail
echo READY
cat >/dev/null
"$bin/pg_ctl" -D data -m immediate stop >/dev/null 2>&1 || :
"#;

impl Cluster {
    /// The cluster that the tests of this process share.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(Durability::Fast))
    }

    /// Starts one.
    ///
    /// # Panics
    /// When PostgreSQL's server programs are missing, or do not start.
    pub fn start(durability: Durability) -> Self {
        let bin = programs();
        // Another process may take the port between our look and the start; then look again.
        let mut last = String::new();
        for _ in 0..5 {
            match Self::try_start(&bin, durability) {
                Ok(cluster) => return cluster,
                Err(log) => last = log,
            }
        }
        panic!("PostgreSQL in {} did not start:\n{last}", bin.display());
    }

    fn try_start(bin: &Path, durability: Durability) -> Result<Self, String> {
        let port = free_port();
        // Not TMPDIR: the user we drop to may not be let in there, and a socket's path must be short.
        let dir = format!("/tmp/nizhal-pg-{}", uuid::Uuid::now_v7().simple());
        let mut supervisor = as_ordinary_user()
            .args(["sh", "-c", SUPERVISE])
            .env("dir", dir)
            .env("bin", bin)
            .env("port", port.to_string())
            .env("fsync", if durability == Durability::Synced { "on" } else { "off" })
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut output = BufReader::new(supervisor.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        if line.trim() == "READY" {
            return Ok(Self { supervisor, port });
        }
        output.read_to_string(&mut line).map_err(|error| error.to_string())?;
        let _ = supervisor.wait();
        Err(line)
    }

    /// The URL of a database in this cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}

/// The newest server programs that Debian's packages, a source build or the PATH offer.
fn programs() -> PathBuf {
    let version = |path: &PathBuf| path.parent()?.file_name()?.to_str()?.parse::<u32>().ok();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest =
        debian.map(|entry| entry.path().join("bin")).filter(|bin| bin.join("initdb").exists()).max_by_key(version);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let elsewhere = || {
        let mut dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/local/pgsql/bin")]);
        dirs.find(|dir| dir.join("initdb").exists() && dir.join("pg_ctl").exists())
    };
    newest.or_else(elsewhere).expect(
        "PostgreSQL's server programs (initdb, pg_ctl) are not installed: run `apt-get install postgresql`, \
         or tests/run, which does it",
    )
}

/// PostgreSQL refuses to run as root; then we become `postgres`, or `nobody` where there is none.
fn as_ordinary_user() -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if !is_root {
        return Command::new("env");
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let known = |user: &str| passwd.lines().any(|line| line.split(':').next() == Some(user));
    let user = if known("postgres") { "postgres" } else { "nobody" };
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={}", group_of(&passwd, user)), "--clear-groups"]);
    command
}

fn group_of(passwd: &str, user: &str) -> String {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user));
    line.and_then(|line| line.split(':').nth(3)).unwrap_or("65534").to_owned()
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection as _;

    #[test]
    fn a_cluster_starts_and_goes_without_a_trace() {
        let cluster = Cluster::start(Durability::Synced);
        let url = cluster.url("postgres");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir: String = runtime.block_on(async {
            let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
            let fsync: String = sqlx::query_scalar("show fsync").fetch_one(&mut db).await.unwrap();
            assert_eq!(fsync, "on");
            sqlx::query_scalar("show data_directory").fetch_one(&mut db).await.unwrap()
        });
        let dir = Path::new(&dir).parent().unwrap();
        assert!(dir.exists());
        drop(cluster);
        assert!(!dir.exists());
    }
}
