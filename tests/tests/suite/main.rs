//! Suites that cut across crates: the engine against an oracle, the store against other writers, the routes in another's app.

mod embed;
mod encoding;
mod number;
mod oracle;
mod rules;
mod shapes;
