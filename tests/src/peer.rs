//! Other programs that a test runs beside the server: `nats-server` and `pgbouncer`, each private and gone with the test.

use crate::postgres::free_port;
use crate::{DEADLINE, TempDir};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program that listens on a port of its own.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    port: u16,
    start: Start,
    dir: TempDir,
}

/// How it is started.
#[derive(Debug)]
struct Start {
    program: PathBuf,
    args: Vec<String>,
}

impl Peer {
    /// A NATS server with these lines in its configuration.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub fn nats(lines: &str) -> Self {
        Self::nats_with(|_| lines.to_owned())
    }

    /// A NATS server whose configuration may name files of its directory.
    ///
    /// # Panics
    /// As [`nats`](Self::nats).
    pub fn nats_with(configure: impl Fn(&Path) -> String) -> Self {
        let start = |port: u16, dir: &Path| {
            let file = dir.join("nats.conf");
            let text = format!("host: 127.0.0.1\nport: {port}\n{}\n", configure(dir));
            std::fs::write(&file, text).expect("the directory is ours");
            Start { program: program("nats-server"), args: vec!["-c".to_owned(), file.display().to_string()] }
        };
        Self::make("nats", start)
    }

    /// A pgbouncer in transaction mode before this database, with these lines in its configuration.
    ///
    /// # Panics
    /// When it is not there, or does not start.
    pub fn pgbouncer(database_url: &str, lines: &str) -> Self {
        let (address, database) = database_url.trim_start_matches("postgres://").rsplit_once('/').expect("a URL");
        let (_, address) = address.rsplit_once('@').expect("a URL with a user");
        let (host, server_port) = address.split_once(':').expect("a URL with a port");
        let start = |port: u16, dir: &Path| {
            let (users, file) = (dir.join("users"), dir.join("pgbouncer.ini"));
            std::fs::write(&users, "\"postgres\" \"\"\n").expect("the directory is ours");
            let text = format!(
                "[databases]\n{database} = host={host} port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\n{lines}\n",
                users.display()
            );
            std::fs::write(&file, text).expect("the directory is ours");
            Start { program: pgbouncer(dir), args: vec![file.display().to_string()] }
        };
        Self::make("pgbouncer", start)
    }

    fn make(what: &str, start: impl Fn(u16, &Path) -> Start) -> Self {
        // Another process may take the port between our look and the start; then look again.
        for _ in 0..5 {
            let dir = TempDir::new(what);
            open_to_all(dir.path());
            let port = free_port();
            let start = start(port, dir.path());
            if let Some(child) = spawn(&start, port, dir.path()) {
                return Self { child, port, start, dir };
            }
        }
        panic!("{what} did not start");
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// This URL of a database, by way of this program.
    ///
    /// # Panics
    /// When the URL has no port.
    pub fn before(&self, database_url: &str) -> String {
        let (front, rest) = database_url.rsplit_once(':').expect("a URL with a port");
        let (_, database) = rest.split_once('/').expect("a URL with a database");
        format!("{front}:{}/{database}", self.port)
    }

    /// The directory of its files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Changes its configuration and starts it again.
    ///
    /// # Panics
    /// When its configuration does not say `from`, or it does not start.
    pub fn reconfigure(&mut self, from: &str, to: &str) {
        let file = self.start.args.last().expect("the configuration comes last");
        let text = std::fs::read_to_string(file).expect("the file is ours");
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).expect("the file is ours");
        self.start_again();
    }

    /// Starts it again on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        self.child = spawn(&self.start, self.port, self.dir.path()).expect("the port is still free");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(start: &Start, port: u16, dir: &Path) -> Option<Child> {
    let log = std::fs::File::create(dir.join("log")).expect("the directory is ours");
    // Dies with the test's thread, also by kill -9; and not as root, which pgbouncer refuses.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0) {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    command.arg("--").arg(&start.program).args(&start.args);
    command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file")).stderr(log);
    let mut child = command.spawn().expect("the program starts");
    let begun = Instant::now();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while begun.elapsed() < DEADLINE {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Some(child);
        }
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/local/bin")]);
    let found = dirs.find_map(|dir| Some(dir.join(name)).filter(|file| file.exists()));
    found
        .unwrap_or_else(|| panic!("{name} is not installed: run `apt-get install {name}`, or tests/run, which does it"))
}

/// The pgbouncer of tests/pgbouncer, where any user may run it.
fn pgbouncer(dir: &Path) -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pgbouncer/pgbouncer");
    assert!(
        built.exists(),
        "there is no pgbouncer that keeps prepared statements apart: run tests/pgbouncer, which gets one"
    );
    let ours = dir.join("pgbouncer");
    std::fs::copy(built, &ours).expect("the directory is ours");
    ours
}

fn open_to_all(dir: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).expect("the directory is ours");
}
