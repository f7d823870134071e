//! Logs: one line an event, whatever a device sent.

use crate::settings::{LogFormat, Settings};
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io::{self, Write},
    panic::PanicHookInfo,
};
use tracing_subscriber::EnvFilter;

/// Logs to stderr by `RUST_LOG`; ours from info and others' from warn by default.
pub(super) fn observe() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,nizhal=info,nizhal_runtime=info"));
    // No colours: what is escaped below would be theirs too. An app that set up its own subscriber keeps it.
    let logging = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
    let format = Settings::log_format_from_env();
    let logging = logging.with_writer(move || Lines { format, to: io::stderr() });
    let _ = match format {
        LogFormat::Text => logging.try_init(),
        LogFormat::Json => logging.json().try_init(),
    };
    // The hook of the standard library writes the panic's text as it is, and a device may have written that.
    std::panic::set_hook(Box::new(log_panic));
}

/// Logs a panic as an event like any other, with a backtrace where `RUST_BACKTRACE` asks for one.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let at = panic.location().map(ToString::to_string).unwrap_or_default();
    let (text, trace) = (panic.payload_as_str().unwrap_or_default(), Backtrace::capture());
    match trace.status() {
        BacktraceStatus::Captured => tracing::error!(at, panic = text, backtrace = %trace, "a thread panicked"),
        _ => tracing::error!(at, panic = text, "a thread panicked"),
    }
}

/// Writes events of one line each: a control character in one (a line feed, a terminal's escape) is written as its escape, so that nobody
/// can forge an entry or speak to the terminal of who reads it.
struct Lines<W> {
    format: LogFormat,
    to: W,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        self.to.write_all(format!("{}{end}", escape(self.format, line)).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The text without control characters, and without those that change the direction of what is read. JSON has them within strings alone, and
/// its own escapes for them.
fn escape(format: LogFormat, text: &str) -> String {
    let is_hidden = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match format {
            _ if !is_hidden(c) => escaped.push(c),
            LogFormat::Text => escaped.extend(c.escape_default()),
            LogFormat::Json => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex, PoisonError};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
        }
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SENT: &str = "m1\n2026-01-01 ERROR forged\u{1b}[2J\r\u{202e}\u{9b}é\"}";

    /// What is logged of this text in a format.
    fn logged(format: LogFormat) -> String {
        let sink = Sink::default();
        let to = sink.clone();
        let logging = tracing_subscriber::fmt().with_ansi(false).without_time();
        let logging = logging.with_writer(move || Lines { format, to: to.clone() });
        let log = || {
            tracing::info!(mutation = %SENT, "pushed {SENT}");
            tracing::info!("next");
        };
        match format {
            LogFormat::Text => tracing::subscriber::with_default(logging.finish(), log),
            LogFormat::Json => tracing::subscriber::with_default(logging.json().finish(), log),
        }
        sink.text()
    }

    #[test]
    fn inv32_what_a_device_sends_stays_in_its_line() {
        for text in [LogFormat::Text, LogFormat::Json].map(logged) {
            assert_eq!(text.lines().count(), 2, "{text}");
            assert!(text.ends_with('\n') && text.matches('\n').count() == 2, "{text}");
            let is_clean = !text.contains(['\u{1b}', '\r', '\u{202e}', '\u{9b}']);
            assert!(is_clean && text.contains("é") && text.contains("\\n2026"), "{text}");
        }
    }

    #[test]
    fn a_line_of_json_says_what_was_sent() {
        let text = logged(LogFormat::Json);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["fields"]["mutation"], SENT);
        assert_eq!(lines[0]["fields"]["message"], format!("pushed {SENT}"));
        assert_eq!((&lines[1]["level"], &lines[1]["fields"]["message"]), (&"INFO".into(), &"next".into()));
    }

    #[test]
    fn inv32_a_panic_stays_in_its_line() {
        let sink = Sink::default();
        let to = sink.clone();
        let logging = tracing_subscriber::fmt().with_ansi(false).without_time();
        let subscriber = logging.with_writer(move || Lines { format: LogFormat::Text, to: to.clone() }).finish();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(log_panic));
        let id = "m1\n2026-01-01 ERROR forged\u{1b}[2J";
        let panicked =
            tracing::subscriber::with_default(subscriber, || std::panic::catch_unwind(|| panic!("secret {id}")));
        std::panic::set_hook(before);
        assert!(panicked.is_err());
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("\\n2026") && text.contains("log.rs") && !text.contains('\u{1b}'), "{text}");
    }
}
