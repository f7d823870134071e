//! Logs: one line an event, whatever a device sent.

use std::io::{self, Write};
use tracing_subscriber::EnvFilter;

/// Logs to stderr by `RUST_LOG`; ours from info and others' from warn by default.
pub(super) fn observe() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,nizhal=info,nizhal_runtime=info"));
    // No colours: what is escaped below would be theirs too. An app that set up its own subscriber keeps it.
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let _ = logging.with_writer(|| Lines(io::stderr())).try_init();
}

/// Writes events of one line each: a control character in one (a line feed, a terminal's escape) is written as its escape, so that nobody
/// can forge an entry or speak to the terminal of who reads it.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        self.0.write_all(format!("{}{end}", escape(line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The text without control characters, and without those that change the direction of what is read.
fn escape(text: &str) -> String {
    let is_hidden = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn inv32_what_a_device_sends_stays_in_its_line() {
        let sink = Sink::default();
        let to = sink.clone();
        let logging = tracing_subscriber::fmt().with_ansi(false).without_time();
        let subscriber = logging.with_writer(move || Lines(to.clone())).finish();
        let id = "m1\n2026-01-01 ERROR forged\u{1b}[2J\r\u{202e}é";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(mutation = %id, "pushed {id}");
            tracing::info!("next");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with('\n') && text.matches('\n').count() == 2, "{text}");
        assert!(
            !text.contains(['\u{1b}', '\r', '\u{202e}']) && text.contains("é") && text.contains("\\n2026"),
            "{text}"
        );
    }
}
