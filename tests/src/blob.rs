//! Blobs as a device sends and reads them, and an S3 server to keep them in.

use crate::{App, Reply, SetUp, TempDir};
use hyper::service::{Service, service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use reqwest::{Method, RequestBuilder};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// The SHA-256 of these bytes, as references name it.
pub fn hash_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The reference to a blob of these bytes.
pub fn reference(bytes: &[u8], mime: &str) -> Value {
    json!({"sha256": hash_of(bytes), "size": bytes.len(), "mime": mime})
}

impl App {
    /// `POST /nizhal/blob/presign-upload`.
    pub async fn presign(&self, token: &str, declared: &Value) -> Reply {
        self.post("/nizhal/blob/presign-upload", token, declared.to_string()).await
    }

    /// Begins an upload of these bytes, declared as what they are, and returns the answer.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn begin_upload(&self, token: &str, bytes: &[u8], mime: &str) -> Value {
        self.presign(token, &reference(bytes, mime)).await.expect(200).json()
    }

    /// The request that sends one part to where the server said, which may be another server.
    ///
    /// # Panics
    /// When the part names no address.
    pub fn part_request(&self, part: &Value, bytes: Vec<u8>) -> RequestBuilder {
        let mut request = self.request_at(Method::PUT, part["url"].as_str().expect("a URL"));
        for (name, value) in part["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("a text"));
        }
        request.body(bytes)
    }

    /// A request to a URL that the server named.
    pub fn request_at(&self, method: Method, url: &str) -> RequestBuilder {
        match url.starts_with('/') {
            true => self.request(method, url),
            false => crate::http().request(method, url),
        }
    }

    /// Sends all parts of an upload that are not done.
    ///
    /// # Panics
    /// When one is refused.
    pub async fn send_parts(&self, upload: &Value, bytes: &[u8]) {
        for part in upload["parts"].as_array().expect("parts").iter().filter(|part| part["done"] != true) {
            let index = |name: &str| usize::try_from(part[name].as_u64().expect("a number")).expect("small");
            let bytes = bytes[index("offset")..].iter().copied().take(index("size")).collect();
            let sent = Reply::of(self.part_request(part, bytes)).await;
            assert!((200..300).contains(&sent.status), "{}: {}", sent.status, sent.text);
        }
    }

    /// `POST /nizhal/blob/{key}/complete`.
    pub async fn complete(&self, token: &str, upload: &Value) -> Reply {
        let key = upload["key"].as_str().expect("a key");
        self.post(&format!("/nizhal/blob/{key}/complete"), token, "").await
    }

    /// Uploads a blob, and returns its reference.
    ///
    /// # Panics
    /// When a step is refused.
    pub async fn upload(&self, token: &str, bytes: &[u8], mime: &str) -> Value {
        let upload = self.begin_upload(token, bytes, mime).await;
        self.send_parts(&upload, bytes).await;
        let blob = self.complete(token, &upload).await.expect(200).json();
        assert_eq!(blob, reference(bytes, mime));
        blob
    }

    /// `GET /nizhal/blob/{sha256}/url`.
    pub async fn blob_url(&self, token: &str, sha256: &str) -> Reply {
        self.get(&format!("/nizhal/blob/{sha256}/url"), token).await
    }

    /// The bytes of a blob, by a URL that the actor asks for.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn download(&self, token: &str, sha256: &str) -> Vec<u8> {
        let url = self.blob_url(token, sha256).await.expect(200).json();
        let answer = self.request_at(Method::GET, url["url"].as_str().expect("a URL")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200);
        answer.bytes().await.expect("a whole body").to_vec()
    }
}

/// An S3 server in this process, on a port and in a folder of its own.
#[derive(Debug)]
pub struct S3 {
    endpoint: String,
    root: TempDir,
    stalled: Arc<Mutex<Option<String>>>,
    requests: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

const BUCKET: &str = "photos";
const KEY: &str = "test-key";
const SECRET: &str = "test-secret";

impl S3 {
    /// Starts it.
    ///
    /// # Panics
    /// When no port or folder can be had.
    pub async fn start() -> Self {
        let root = TempDir::new("s3");
        std::fs::create_dir(root.path().join(BUCKET)).expect("the folder is ours");
        let files = s3s_fs::FileSystem::new(root.path()).expect("the folder is there");
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(KEY, SECRET));
        let service = service.build();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let (stalled, requests) = (Arc::<Mutex<Option<String>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (stall, log) = (stalled.clone(), requests.clone());
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (service, stall, log) = (service.clone(), stall.clone(), log.clone());
                let answer = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let line = format!("{} {}", request.method(), request.uri().path());
                    let is_stalled = lock(&stall).as_ref().is_some_and(|start| line.starts_with(start));
                    let (answering, log) = (Service::call(&service, request), log.clone());
                    async move {
                        let answer = answering.await;
                        lock(&log).push(line);
                        if is_stalled {
                            // Done, and nobody hears of it.
                            std::future::pending::<()>().await;
                        }
                        answer
                    }
                });
                tokio::spawn(async move {
                    // A client that goes ends its connection.
                    let builder = Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(connection), answer).await;
                });
            }
        });
        Self { endpoint, root, stalled, requests, serving }
    }

    /// The set-up of a server that keeps its blobs here.
    pub fn set_up(&self, set_up: SetUp) -> SetUp {
        let set_up = set_up.env("NIZHAL_BLOBS", &format!("s3://{BUCKET}/app")).env("AWS_ENDPOINT_URL", &self.endpoint);
        let set_up = set_up.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET);
        set_up.env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1")
    }

    /// Answers no request any more whose method and path begin so, though it does what the request says; or all again.
    pub fn stall(&self, start: Option<&str>) {
        *lock(&self.stalled) = start.map(|start| start.replace("BUCKET", BUCKET));
    }

    /// How many requests were carried out whose method and path begin so.
    pub fn carried_out(&self, start: &str) -> usize {
        let start = start.replace("BUCKET", BUCKET);
        lock(&self.requests).iter().filter(|line| line.starts_with(&start)).count()
    }

    /// The objects of a folder of the app's, as files.
    pub fn files(&self, folder: &str) -> Vec<std::path::PathBuf> {
        files(&self.root.path().join(BUCKET).join("app").join(folder))
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All files in a folder and its folders; none where it is not there.
pub fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut all: Vec<_> = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}
