//! The HTTP client of the tests: plain sockets, though the workspace builds reqwest with TLS for the device's sake.

/// A client; TLS finds its cryptography, which reqwest does not choose by itself.
pub fn http() -> reqwest::Client {
    // An error means that it is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
