//! The app as a process of its own, to be killed.

use crate::blob::payment;
use crate::fixture::{bearer, credit, setup};
use credit_ledger::mutator::{record_credit, record_payment};
use nizhal::client::{Client, Phase};
use nizhal_tests::DEADLINE;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

const FILE: &str = "NIZHAL_TEST_FILE";
const URL: &str = "NIZHAL_TEST_URL";
const ROUND: &str = "NIZHAL_TEST_ROUND";
const PHOTOS: &str = "NIZHAL_TEST_PHOTOS";

/// What the process writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Credits,
    /// Payments, each with a photo whose bytes are its id.
    Photos,
}

/// Not a test: the process. It writes without end, and says what `mutate` returned from and whether it leads.
#[test]
#[ignore = "the process that other tests kill"]
fn app_process() {
    let (Ok(file), Ok(url), Ok(round)) = (std::env::var(FILE), std::env::var(URL), std::env::var(ROUND)) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Box::pin(setup("ana").file(file).server(url, bearer("ana")).open()).await.unwrap();
        tokio::spawn(tell(client.clone()));
        for number in 0.. {
            let id = format!("r{round}-{number}");
            if std::env::var(PHOTOS).is_ok() {
                let photo = client.blobs().add(id.as_bytes(), "image/png").await.unwrap();
                client.mutate::<record_payment>(payment(&id, Some(photo))).await.unwrap();
            } else {
                client.mutate::<record_credit>(credit(&id, "c1", 1 + number % 9)).await.unwrap();
            }
            say(&format!("written {id}"));
        }
    });
}

async fn tell(client: Client) {
    let mut status = client.status();
    let mut led = None;
    while status.changed().await.is_ok() {
        let leads = match status.borrow_and_update().phase {
            Phase::Follower => false,
            Phase::Connecting | Phase::CatchingUp(_) | Phase::Live => true,
            _ => continue,
        };
        if led.replace(leads) != Some(leads) {
            say(if leads { "leads" } else { "follows" });
        }
    }
}

/// One line, also where the test's runner has begun one.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A running one; killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// All that it said.
    said: Vec<String>,
}

impl Process {
    pub(crate) fn start(file: &Path, url: &str, round: u64) -> Self {
        Self::begin(file, url, round, Work::Credits)
    }

    pub(crate) fn begin(file: &Path, url: &str, round: u64, work: Work) -> Self {
        let photos = (work == Work::Photos).then_some((PHOTOS, "yes"));
        let mut child = Command::new("setpriv")
            .envs(photos)
            .args(["--pdeathsig", "KILL", "--"])
            .arg(std::env::current_exe().unwrap())
            .args(["process::app_process", "--exact", "--ignored", "--nocapture"])
            .env(FILE, file)
            .env(URL, url)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (line, lines) = channel();
        std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, lines, said: Vec::new() }
    }

    /// Waits until it has written once more.
    pub(crate) fn writes(&mut self) {
        self.wait("to write", |line| line.starts_with("written "));
    }

    /// Waits until it says this.
    pub(crate) fn says(&mut self, what: &str) {
        self.wait(what, |line| line == what);
    }

    /// How often it has said this until now.
    pub(crate) fn count(&mut self, what: &str) -> usize {
        self.said.extend(self.lines.try_iter());
        self.said.iter().filter(|line| *line == what).count()
    }

    fn wait(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        loop {
            let line = self.lines.recv_timeout(2 * DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("waited in vain for the process {what}: {error}"));
            let found = wanted(&line);
            self.said.push(line);
            if found {
                return;
            }
        }
    }

    /// kill -9; what it wrote until then.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said.extend(self.lines.iter());
        self.said.iter().filter_map(|line| line.strip_prefix("written ").map(str::to_owned)).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
