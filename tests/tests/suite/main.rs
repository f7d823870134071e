//! Suites that cut across crates: the engine against an oracle, the store against other writers, the routes in another's app.

mod batch;
mod blob;
mod column;
mod control;
mod crdt;
mod demand;
mod deploy;
mod embed;
mod encoding;
mod finality;
mod fixture;
mod image;
mod isomorphic;
mod keys;
mod number;
mod observe;
mod oracle;
mod own_database;
mod replay;
mod rules;
mod security;
mod shapes;
mod statement_fault;
mod two_schemas;
