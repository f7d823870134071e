//! Yjs itself, under Node: one process a test, asked line by line.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

/// A Node process with documents in it.
pub(super) struct Yjs {
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    created: usize,
}

/// The name of a document in the process.
#[derive(Clone)]
pub(super) struct Name(String);

impl Yjs {
    pub(super) fn start() -> Self {
        let script = installed().join("yjs.mjs");
        let mut command = Command::new("node");
        let spawned = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("these tests ask Yjs itself, so Node.js 16 or later must be installed");
        let asks = child.stdin.take().expect("stdin is piped");
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self { child, asks, answers, created: 0 }
    }

    fn ask(&mut self, op: &str, name: &Name, mut request: Value) -> Value {
        request["op"] = op.into();
        request["name"] = name.0.clone().into();
        writeln!(self.asks, "{request}").expect("Node reads");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Node answers");
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        assert!(answer["error"].is_null(), "Yjs: {}", answer["error"]);
        answer
    }

    /// A new document, whose writer has this number or one that Yjs draws.
    pub(super) fn document(&mut self, client: impl Into<Option<u64>>) -> Name {
        self.created += 1;
        let name = Name(self.created.to_string());
        let request = client.into().map_or_else(|| json!({}), |client| json!({"client": client}));
        self.ask("create", &name, request);
        name
    }

    /// Edits in one transaction; the update that they made, in base64.
    pub(super) fn edit(&mut self, document: &Name, edits: &Value) -> String {
        self.ask("edit", document, json!({"edits": edits}))["update"].as_str().expect("a text").to_owned()
    }

    /// Applies an update in base64.
    pub(super) fn apply(&mut self, document: &Name, update: &str) {
        self.ask("apply", document, json!({"update": update}));
    }

    /// All that the document shows and is.
    pub(super) fn read(&mut self, document: &Name) -> Value {
        self.ask("read", document, json!({}))
    }

    /// As [`read`](Self::read), of a new document that knows nothing but this state.
    pub(super) fn read_state(&mut self, state: &str) -> Value {
        let document = self.document(None);
        self.apply(&document, state);
        self.read(&document)
    }
}

impl Drop for Yjs {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder with the script and Yjs beside it: under `target`, so that the sources stay as they are.
fn installed() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("yjs");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("yjs");
        std::fs::create_dir_all(&folder).expect("the folder is made");
        let lock = |at: &Path| std::fs::read(at.join("package-lock.json")).ok();
        let fresh = folder.join("node_modules/yjs/package.json").exists() && lock(&folder) == lock(&sources);
        std::fs::copy(sources.join("yjs.mjs"), folder.join("yjs.mjs")).expect("the script is copied");
        if !fresh {
            let _ = std::fs::remove_dir_all(folder.join("node_modules"));
            for file in ["package.json", "package-lock.json"] {
                std::fs::copy(sources.join(file), folder.join(file)).expect("the file is copied");
            }
            let npm = Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&folder)
                .output()
                .expect("these tests ask Yjs itself, so npm must be installed (Debian: nodejs, npm)");
            let said = String::from_utf8_lossy(&npm.stderr);
            assert!(npm.status.success(), "`npm ci` in {} failed: {said}", folder.display());
        }
        folder
    })
}
