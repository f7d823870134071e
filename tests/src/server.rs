//! The app's own binary as a child process: started, watched, killed, started again.

use crate::{DEADLINE, token};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

/// Where the server listens now; clones follow a restart.
#[derive(Clone, Debug, Default)]
pub struct Address(Arc<Mutex<String>>);

impl Address {
    /// A fixed address such as `http://127.0.0.1:4000`.
    pub fn fixed(base: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(base.into())))
    }

    /// `http://127.0.0.1:<port>`, and this path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", lock(&self.0))
    }

    /// `127.0.0.1:<port>`.
    pub fn host(&self) -> String {
        self.at("").trim_start_matches("http://").to_owned()
    }
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct SetUp {
    binary: PathBuf,
    env: Vec<(String, String)>,
}

impl SetUp {
    /// The binary on this database, as in production: the harness's secret, no seed. And no rate limit.
    pub fn new(binary: impl Into<PathBuf>, database_url: &str) -> Self {
        let set_up = Self { binary: binary.into(), env: Vec::new() };
        let set_up = set_up.env("DATABASE_URL", database_url).env("PORT", "0").env("NIZHAL_RATE_LIMIT", "off");
        set_up.env("NIZHAL_ENV", "production").env("NIZHAL_AUTH_SECRET", token::SECRET)
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Leaves a variable out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    fn command(&self) -> Command {
        // The kernel kills the server when the test's thread is gone, even by kill -9.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.binary);
        let ours = |name: &str| name.starts_with("NIZHAL_") || matches!(name, "DATABASE_URL" | "PORT" | "HOST");
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
        command
    }
}

/// Runs one verb of the binary to its end.
///
/// # Panics
/// When the binary cannot be started, or does not end until the deadline.
pub fn verb(set_up: &SetUp, args: &[&str]) -> Output {
    let command = set_up.command().args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = command.expect("the app's binary starts");
    let id = child.id().to_string();
    let (ended, output) = mpsc::channel();
    std::thread::spawn(move || ended.send(child.wait_with_output()));
    match output.recv_timeout(DEADLINE) {
        Ok(output) => output.expect("the binary's output is read"),
        Err(_) => {
            // Not yet waited for, so the id is still the child's own.
            let _ = Command::new("kill").args(["-KILL", &id]).status();
            panic!("`{}` did not end", args.join(" "));
        }
    }
}

/// A running server; killed when dropped. When a test fails, what it printed is shown.
#[derive(Debug)]
pub struct Server {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Server {
    /// Starts it, and returns when it listens.
    ///
    /// # Panics
    /// When it ends instead, or says nothing until the deadline.
    pub fn start(set_up: &SetUp, address: &Address) -> Self {
        let mut child = set_up
            .command()
            .arg("serve")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the app's binary starts");
        let output = Arc::new(Mutex::new(String::new()));
        let (found, listening) = mpsc::channel();
        keep_reading(child.stdout.take().expect("stdout is piped"), &output, Some(found));
        keep_reading(child.stderr.take().expect("stderr is piped"), &output, None);
        // From here on the child is killed and its output shown, whatever happens.
        let server = Self { child, output };
        match listening.recv_timeout(DEADLINE) {
            Ok(base) => *lock(&address.0) = base,
            Err(error) => panic!("the server never said where it listens ({error})"),
        }
        server
    }

    /// All that it printed until now.
    pub fn output(&self) -> String {
        lock(&self.output).clone()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever held, in bytes: the high-water mark of its resident set.
    ///
    /// # Panics
    /// When it is gone, or the system does not tell.
    pub fn peak_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the server runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    }

    /// kill -9, and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, without waiting.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "SIGTERM was not sent");
    }

    /// Waits for its own end.
    ///
    /// # Panics
    /// When it still runs at the deadline.
    pub async fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                return status;
            }
            assert!(begun.elapsed() < DEADLINE, "the server did not end");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the server printed ---\n{}--------------------------", self.output());
        }
    }
}

/// Reads a pipe to its end, so that the server never blocks on it.
fn keep_reading(pipe: impl Read + Send + 'static, output: &Arc<Mutex<String>>, found: Option<mpsc::Sender<String>>) {
    let output = output.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let (Some(found), Some(at)) = (&found, line.find("listening on http://")) {
                let base = line[at..].trim_start_matches("listening on ").trim();
                let _ = found.send(base.to_owned());
            }
            lock(&output).push_str(&(line + "\n"));
        }
    });
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
