//! Tries to break the no-leak check: thousands of random rule sets, half of them leaking by construction.
//!
//! A leaking set is a sound one with one thing spoilt, so it is refused for that thing. What is accepted must mean what it says:
//! the model's conditions let through the rows that the source's do, and no others; `tests/tests/suite/oracle/break_in` runs
//! such sets on a server. The message of a failure says how to run its seed again. What rustc alone can see, types and whether columns exist, is for the UI cases.

mod mutate;
mod row;
mod source;

use nizhal_syntax::{Errors, ast::parse_rules, check::check_rules, model::RuleSet, model::lower_rules};
use source::{generate, random::Random};
use std::collections::BTreeMap;

/// Through the front end: the model, and the first line of each mistake.
fn read(source: &str) -> (Option<RuleSet>, Vec<String>) {
    let errors = Errors::new();
    let set = match source.parse() {
        Ok(tokens) => parse_rules(tokens, &errors).map(|ast| lower_rules(ast, &errors)),
        Err(error) => panic!("no tokens: {error}\n{source}"),
    };
    if let Some(set) = &set {
        check_rules(set, &errors);
    }
    let lines = |error: syn::Error| error.into_iter().map(|one| one.to_string()).collect();
    let mistakes = errors.finish().map_or_else(lines, |()| Vec::new());
    (set, mistakes)
}

/// How many sets of each kind a quick run tries.
const QUICK: u64 = 500;

#[test]
fn no_sound_set_is_refused_and_it_means_what_it_says() {
    for seed in nizhal_seeds::range(QUICK) {
        let mut random = Random::new(seed);
        let set = generate::set(&mut random);
        let source = set.to_string();
        let (model, mistakes) = read(&source);
        assert_eq!(mistakes, [""; 0], "{}: a sound set is refused\n{source}", nizhal_seeds::again(seed));
        row::compare(&mut random, &set, &model.expect("a model"), &format!("{}\n{source}", nizhal_seeds::again(seed)));
        // The model is gone, and with it all spans; kept, they would make each parse slower than the last.
        proc_macro2::extra::invalidate_current_thread_spans();
    }
}

#[test]
fn no_leaking_set_is_accepted() {
    for seed in nizhal_seeds::range(QUICK) {
        let mut random = Random::new(seed);
        let mut set = generate::set(&mut random);
        let spoilt = mutate::mutate(&mut random, &mut set);
        let source = set.to_string();
        let (_, mistakes) = read(&source);
        assert!(
            !mistakes.is_empty(),
            "{}: a set that leaks ({spoilt}) is accepted\n{source}",
            nizhal_seeds::again(seed)
        );
        proc_macro2::extra::invalidate_current_thread_spans();
    }
}

/// The seeds are fixed ones: how often each kind comes up is the generator's, and must not depend on the run.
#[test]
fn every_kind_of_leak_is_made_often() {
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..2_500 {
        let mut random = Random::new(seed);
        let mut set = generate::set(&mut random);
        *made.entry(mutate::mutate(&mut random, &mut set)).or_default() += 1;
    }
    let rare: Vec<_> = mutate::KINDS.iter().filter(|(name, _)| made.get(name).copied() < Some(10)).collect();
    assert!(rare.is_empty(), "hardly made: {:?}", rare.iter().map(|(name, _)| name).collect::<Vec<_>>());
}
