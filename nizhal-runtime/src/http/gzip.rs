//! Compression of pulls, for clients that ask for it.

use actix_web::{
    HttpRequest,
    http::header::{AcceptEncoding, Encoding, Header},
    web::{self, Bytes},
};
use flate2::{Compression, write::GzEncoder};
use std::io::Write;

/// The fastest level: the others take twice the time for a seventh less.
const LEVEL: Compression = Compression::fast();
/// Shorter pages go as they are: they fit into a packet or two.
const WORTH: usize = 2 * 1024;
/// Longer ones take milliseconds, for which other requests of this thread would wait.
const LONG: usize = 64 * 1024;

/// Whether the client asks for compression that we have.
pub(super) fn accepts_gzip(request: &HttpRequest) -> bool {
    let ours = [Encoding::gzip(), Encoding::identity()];
    AcceptEncoding::parse(request).is_ok_and(|asked| asked.negotiate(ours.iter()) == Some(Encoding::gzip()))
}

/// What is sent of a page for a client that asks: all of it, and whether it is compressed.
pub(super) async fn page(plain: Vec<u8>) -> (Bytes, bool) {
    if plain.len() < WORTH {
        return (plain.into(), false);
    }
    if plain.len() < LONG {
        return (packed(&plain), true);
    }
    let plain = Bytes::from(plain);
    let long = plain.clone();
    match web::block(move || packed(&long)).await {
        Ok(packed) => (packed, true),
        // The server stops.
        Err(_) => (plain, false),
    }
}

fn packed(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), LEVEL);
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(plain);
    encoder.finish().unwrap_or_default().into()
}

/// Lines on their way out, compressed or as they are.
pub(super) struct Packer(Option<GzEncoder<Vec<u8>>>);

impl Packer {
    pub(super) fn new(gzip: bool) -> Self {
        Self(gzip.then(|| GzEncoder::new(Vec::new(), LEVEL)))
    }

    /// A line to its end: nothing of it waits for the next.
    pub(super) fn pack(&mut self, line: Vec<u8>, is_last: bool) -> Bytes {
        let Some(encoder) = &mut self.0 else { return line.into() };
        // Writing to a Vec cannot fail.
        let _ = encoder.write_all(&line);
        let _ = if is_last { encoder.try_finish() } else { encoder.flush() };
        std::mem::take(encoder.get_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{http::header::ACCEPT_ENCODING, test::TestRequest};

    #[test]
    fn who_asks_for_compression() {
        let asks = |value: &str| {
            accepts_gzip(&TestRequest::default().insert_header((ACCEPT_ENCODING, value)).to_http_request())
        };
        for yes in ["gzip", "gzip, deflate, br, zstd", "br;q=1, gzip;q=0.5"] {
            assert!(asks(yes), "{yes}");
        }
        for no in ["", "br", "zstd", "identity", "gzip;q=0", "identity;q=1, gzip;q=0.5"] {
            assert!(!asks(no), "{no}");
        }
        assert!(!accepts_gzip(&TestRequest::default().to_http_request()));
    }

    #[actix_web::test]
    async fn pages_are_compressed_where_it_is_worth_it() {
        use flate2::read::GzDecoder;
        use std::io::Read;
        for (length, compressed) in [(0, false), (WORTH - 1, false), (WORTH, true), (LONG, true), (3 * LONG, true)] {
            let plain: Vec<u8> = b"rice and dal ".iter().copied().cycle().take(length).collect();
            let (sent, is_packed) = page(plain.clone()).await;
            assert_eq!(is_packed, compressed, "{length}");
            let mut read = Vec::new();
            match is_packed {
                true => GzDecoder::new(&sent[..]).read_to_end(&mut read).map(drop).unwrap(),
                false => read.extend_from_slice(&sent),
            }
            assert!(read == plain && (!is_packed || sent.len() < length / 10), "{length}: {}", sent.len());
        }
    }
}
