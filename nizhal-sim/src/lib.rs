//! An app's schema, rules and mutators, run through thousands of disasters from a seed.
//!
//! Devices (the shipped session, store and exchange of `nizhal-client`) and a server (the shipped engine over SQLite) live in one
//! thread, joined by a network that loses, repeats, delays and mangles; power goes, clocks jump, memberships change, somebody
//! writes by SQL, the database is restored from an old copy; a hostile device forges, replays and floods. After each step what must always hold is checked, and in the end,
//! when all is healed, that each device has exactly the rows that plain SQL says its user may see, and that each mutation took
//! effect once.
//!
//! ```ignore
//! #[test]
//! fn survives_disasters() {
//!     nizhal_sim::check(Ledger);
//! }
//! ```

mod act;
mod answer;
mod app;
mod args;
mod blobs;
mod check;
mod device;
mod external;
mod fixture;
mod forge;
mod hostile;
mod images;
mod net;
mod network;
mod oracle;
mod order;
mod plain;
mod plan;
mod quiesce;
mod server;
mod shrink;
mod sim;
mod step;
mod trace;
mod upkeep;
mod verify;
mod workdir;
mod world;

pub use app::{App, Effect};
pub use args::Draw;
pub use check::{Report, check, check_range, replay};
pub use step::Step;
pub use trace::{Calls, Counts};
