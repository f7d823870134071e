//! Invariants 28, 31 and 32 under attack: nobody takes it all. One module a kind of attack.

mod bound;
mod fair;
mod frame;
mod presence;
mod slow;
mod stored;

use nizhal_tests::App;

/// What the process of the server may grow by in a test that tries to fill its memory: buffers, caches, an allocator's slack.
const SLACK_BYTES: u64 = 96 * 1024 * 1024;

/// The server's peak of memory since its start, in bytes.
fn peak_bytes(app: &App) -> u64 {
    app.server.peak_bytes()
}
