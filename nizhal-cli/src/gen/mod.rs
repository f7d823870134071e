//! `nizhal gen ts`: a typed TypeScript client from an app's contract.

mod read;
mod schema;
mod ts;

pub(crate) use read::read;
pub(crate) use ts::typescript;
