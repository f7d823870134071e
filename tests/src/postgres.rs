//! A private PostgreSQL cluster for each test process, which dies with the process however that ends.

use crate::{TempDir, temp::memory, tls};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
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
/// stops the cluster and removes its directory. A line in the pipe starts a cluster again that was killed.
#[derive(Debug)]
pub struct Cluster {
    supervisor: Child,
    output: BufReader<ChildStdout>,
    port: u16,
    dir: PathBuf,
    /// Its certificate and the authority of it, where it takes TLS alone.
    certificates: Option<TempDir>,
}

/// Where a cluster is that is on a disk. Not TMPDIR: the user we drop to may not be let in there, and a socket's path must be
/// short.
const DISK: &str = "/tmp";

const SUPERVISE: &str = r#"
set -e
fail() { echo "FAILED"; cat "$dir/log"; exit 1; }
umask 077
mkdir "$dir"
trap 'cd /; rm -rf "$dir"' EXIT
trap : INT TERM HUP
cd "$dir"
if [ "$primary" ]; then
  "$bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U postgres -D data -R -X stream -c fast --no-sync >log 2>&1 || fail
else
  "$bin/initdb" -D data -U postgres -A trust -E UTF8 --locale=C --no-sync >log 2>&1 || fail
fi
if [ "$certificate" ]; then
  echo "$certificate" >data/cert.pem
  echo "$key" >data/key.pem
  echo "hostssl all all 127.0.0.1/32 trust" >data/pg_hba.conf
  options="$options -c ssl=on -c ssl_cert_file=cert.pem -c ssl_key_file=key.pem"
fi
start() {
  "$bin/pg_ctl" -D data -l log -w -t 120 -o "-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=200 \
    -c fsync=$fsync -c full_page_writes=$fsync -c shared_buffers=64MB -c log_min_messages=warning $options" \
    start >>log 2>&1 || fail
  echo READY
}
start
# Killed processes may stay as zombies where nobody reaps them, and would count as living.
while read -r _; do rm -f data/postmaster.pid .s.PGSQL.*; start; done
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
        Self::make(&Make::of(durability))
    }

    /// Starts one with options of its own, such as `-c wal_writer_delay=10s`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(durability: Durability, options: &str) -> Self {
        Self::make(&Make { options, ..Make::of(durability) })
    }

    /// Starts a standby that is a copy of this cluster and goes on receiving its writes.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn standby(&self) -> Self {
        Self::make(&Make { primary: Some(self.port), ..Make::of(Durability::Fast) })
    }

    /// Starts one that takes TLS alone, with a certificate for 127.0.0.1 of an [authority](Self::authority) that nobody knows.
    ///
    /// # Panics
    /// As [`start`](Self::start), and when `openssl` is not installed.
    pub fn start_secured() -> Self {
        let certificates = TempDir::new("certificates");
        tls::certify(certificates.path());
        let cluster = Make { certificates: Some(certificates.path()), ..Make::of(Durability::Fast) };
        let mut cluster = Self::make(&cluster);
        cluster.certificates = Some(certificates);
        cluster
    }

    /// The file with the authority's certificate, as PEM.
    ///
    /// # Panics
    /// When it is not [secured](Self::start_secured).
    pub fn authority(&self) -> PathBuf {
        self.certificates.as_ref().expect("it takes TLS").path().join("ca.pem")
    }

    fn make(make: &Make<'_>) -> Self {
        let bin = programs();
        // Another process may take the port between our look and the start; then look again.
        let mut last = String::new();
        for _ in 0..5 {
            match Self::try_make(&bin, make) {
                Ok(cluster) => return cluster,
                Err(log) => last = log,
            }
        }
        panic!("PostgreSQL in {} did not start:\n{last}", bin.display());
    }

    fn try_make(bin: &Path, make: &Make<'_>) -> Result<Self, String> {
        let port = free_port();
        // In memory where there is room: to make a database is to make three hundred files.
        let base = if make.durability == Durability::Fast { memory().unwrap_or(DISK) } else { DISK };
        let dir = format!("{base}/nizhal-pg-{}", uuid::Uuid::now_v7().simple());
        // As text: the user we drop to may not be let in where the files are.
        let pem = |name| match make.certificates {
            Some(dir) => std::fs::read_to_string(dir.join(name)).map_err(|error| error.to_string()),
            None => Ok(String::new()),
        };
        let mut supervisor = as_ordinary_user()
            .args(["sh", "-c", SUPERVISE])
            .env("dir", &dir)
            .env("bin", bin)
            .env("port", port.to_string())
            .env("fsync", if make.durability == Durability::Synced { "on" } else { "off" })
            .env("primary", make.primary.map(|port| port.to_string()).unwrap_or_default())
            .env("options", make.options)
            .env("certificate", pem("cert.pem")?)
            .env("key", pem("key.pem")?)
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
            return Ok(Self { supervisor, output, port, dir: dir.into(), certificates: None });
        }
        output.read_to_string(&mut line).map_err(|error| error.to_string())?;
        let _ = supervisor.wait();
        Err(line)
    }

    /// kill -9 of the postmaster and of all its processes, as a crash of the machine would end them.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let lock = std::fs::read_to_string(self.dir.join("data/postmaster.pid")).expect("the cluster runs");
        let postmaster = lock.lines().next().expect("the lock file begins with the process id").to_owned();
        // Stopped, so that it makes no more children while we look.
        signal("STOP", std::slice::from_ref(&postmaster));
        let mut all = children(&postmaster);
        all.push(postmaster);
        signal("KILL", &all);
        while all.iter().any(|process| is_alive(process)) {
            std::thread::yield_now();
        }
    }

    /// Starts it again on the same data after [`kill`](Self::kill).
    ///
    /// # Panics
    /// When it does not recover.
    pub fn start_again(&mut self) {
        let pipe = self.supervisor.stdin.as_mut().expect("the pipe is open");
        pipe.write_all(b"start\n").expect("the supervisor listens");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the supervisor answers");
        if line.trim() != "READY" {
            let _ = self.output.read_to_string(&mut line);
            panic!("PostgreSQL did not start again:\n{line}");
        }
    }

    /// Keeps a copy of the disk as it is now, while the cluster runs.
    ///
    /// # Panics
    /// When it cannot be copied.
    pub fn keep_disk(&self) {
        let copied = as_ordinary_user()
            .arg(programs().join("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
            .args(["-D", "kept", "-X", "fetch", "-c", "fast", "--no-sync"])
            .current_dir(&self.dir)
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "the disk was not copied");
    }

    /// Puts the disk back as it was when it was [kept](Self::keep_disk), of a cluster that was [killed](Self::kill).
    ///
    /// # Panics
    /// When there is none.
    pub fn put_back(&self) {
        std::fs::remove_dir_all(self.dir.join("data")).expect("the disk of now goes");
        std::fs::rename(self.dir.join("kept"), self.dir.join("data")).expect("the disk of before comes");
    }

    /// Runs one of the client programs, such as `pg_dump`; what it wrote.
    ///
    /// # Panics
    /// When it fails.
    pub fn program(name: &str, args: &[&str]) -> Vec<u8> {
        let output = Command::new(programs().join(name)).args(args).output().expect("the program starts");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Runs a script with the client programs on the path, and this URL as `DATABASE_URL`.
    ///
    /// # Panics
    /// When it fails.
    pub fn shell(script: &str, url: &str) {
        let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap_or_default());
        let output = Command::new("sh").args(["-ec", script]).env("PATH", path).env("DATABASE_URL", url).output();
        let output = output.expect("the shell starts");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// What the cluster has logged.
    ///
    /// # Panics
    /// When its log cannot be read.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.dir.join("log")).expect("the cluster logs");
        String::from_utf8_lossy(&bytes).into_owned()
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

/// How a cluster is made.
struct Make<'a> {
    durability: Durability,
    /// The port of the cluster that it is a standby of.
    primary: Option<u16>,
    options: &'a str,
    /// The directory that they are in.
    certificates: Option<&'a Path>,
}

impl Make<'_> {
    fn of(durability: Durability) -> Self {
        Self { durability, primary: None, options: "", certificates: None }
    }
}

fn signal(name: &str, processes: &[String]) {
    let sent = Command::new("kill").arg(format!("-{name}")).args(processes).status();
    assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was not sent");
}

/// The state and the parent of a process: what follows its name, which is in parentheses.
fn stat(process: &str) -> Option<(String, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().map(str::to_owned);
    Some((fields.next()?, fields.next()?))
}

fn children(of: &str) -> Vec<String> {
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.file_name());
    let processes = names.filter_map(|name| name.into_string().ok());
    processes.filter(|process| stat(process).is_some_and(|(_, parent)| parent == of)).collect()
}

fn is_alive(process: &str) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z")
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

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("a bound socket has an address").port()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Connection as _;

    #[test]
    fn a_killed_cluster_starts_again() {
        let mut cluster = Cluster::start(Durability::Synced);
        let url = cluster.url("postgres");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::raw_sql("create table t (a int); insert into t values (7)").execute(&mut db).await.unwrap();
            cluster.kill();
            assert!(sqlx::raw_sql("select 1").execute(&mut db).await.is_err());
            cluster.start_again();
            let mut db = sqlx::PgConnection::connect(&url).await.unwrap();
            let kept: i32 = sqlx::query_scalar("select a from t").fetch_one(&mut db).await.unwrap();
            assert_eq!(kept, 7);
        });
    }

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
