//! A Postgres that takes TLS alone, with a certificate of an authority that only its owner knows.

use crate::{fixture::BINARY, stream};
use nizhal_tests::{App, Cluster, Database, SetUp, play, verb};

#[test]
fn an_authority_of_ones_own_is_trusted_when_it_is_named() {
    play(async || {
        let cluster = Cluster::start_secured();
        let database = Database::within(&cluster, "postgres");
        let url = format!("{}?sslmode=verify-full&sslrootcert={}", database.url(), cluster.authority().display());
        // Migrates, pulls and listens.
        stream::a_write_from_outside_pings(App::with(database, SetUp::new(BINARY, &url))).await;
    });
}

#[test]
fn a_database_that_nobody_vouches_for_is_not_written_to() {
    play(async || {
        let cluster = Cluster::start_secured();
        let url = format!("{}?sslmode=verify-full", cluster.url("postgres"));
        let refused = verb(&SetUp::new(BINARY, &url), &["migrate"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("UnknownIssuer"), "{said}");
    });
}
