//! TLS in front of a server, and an authority of one's own: what a self-hoster puts before it.

use crate::{Address, TempDir};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Makes an authority (`ca.pem`) and a certificate of it for 127.0.0.1 (`cert.pem`, `key.pem`) in this directory, which all may read.
///
/// # Panics
/// When `openssl` is not installed.
pub fn certify(dir: &Path) {
    let run = |args: &[&str]| {
        let made = Command::new("openssl").args(args).current_dir(dir).output().expect("openssl is installed");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ca = ["-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2"];
    run(&[&["req", "-x509"], &curve[..], &ca[..]].concat());
    run(&[&["req", "-new"], &curve[..], &["-subj", "/CN=server", "-keyout", "key.pem", "-out", "server.csr"]].concat());
    std::fs::write(dir.join("names"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        .expect("the directory is ours");
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    run(&[&sign[..], &["-out", "cert.pem", "-days", "2", "-extfile", "names"]].concat());
    for file in ["key.pem", "cert.pem", "ca.pem"] {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(dir.join(file), open).expect("the file is ours");
    }
}

/// What ends TLS before a server; gone when dropped.
#[derive(Debug)]
pub struct TlsFront {
    url: String,
    dir: TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl TlsFront {
    /// TLS in front of this server, with a certificate of an authority that nobody knows.
    ///
    /// # Panics
    /// When no port is free or `openssl` is not installed.
    pub async fn start(server: &Address) -> Self {
        let dir = TempDir::new("tls");
        certify(dir.path());
        let file = |name: &str| dir.path().join(name);
        let certificate = CertificateDer::from_pem_file(file("cert.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(file("key.pem")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the versions are known")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the key is the certificate's");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("https://{}", listener.local_addr().expect("it is bound"));
        let server = server.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let Ok(mut upstream) = TcpStream::connect(server.host()).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
                });
            }
        });
        Self { url, dir, task }
    }

    /// Where it listens: `https://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The file with the authority's certificate, as PEM.
    pub fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.task.abort();
    }
}
