//! The break-in test's rule sets on a server: source text through the front end and the typed builder to the engine, against
//! what the generator knows that the text means.
//!
//! The message of a failure says how to run its case again; `NIZHAL_THOROUGH=10` runs ten times as many.

mod shape;
mod table;
mod through;

pub(super) use table::desc;
pub(super) use through::rules_of;

use super::{
    cases,
    script::{LIVES, Script},
    source::{generate, random::Random},
};
use nizhal_tests::Kind;

#[test]
fn inv02_inv03_inv18_accepted_rule_sets_do_not_leak_on_sqlite() {
    cases(Kind::Sqlite, 200, script);
}

#[test]
fn inv02_inv03_inv18_accepted_rule_sets_do_not_leak_on_postgres() {
    cases(Kind::Postgres, 40, script);
}

/// A life under a random rule set, that of the front end's own test with this seed.
fn script(seed: u64) -> Script {
    let set = generate::set(&mut Random::new(seed / LIVES));
    Script::of(shape::shape_of(&set, &mut Random::new(seed / LIVES)), seed)
}
