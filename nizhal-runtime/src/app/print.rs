//! The output of a verb.

use std::io::{self, Write};

/// Prints a line; a reader that has gone away is no fault of ours.
pub(super) fn print_line(text: &str) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}
