//! The seeds and counts of random tests: the one place that reads `NIZHAL_THOROUGH` and `NIZHAL_SEED`.
//!
//! `NIZHAL_THOROUGH` multiplies every count of seeds, cases, rounds and kills; it is 1 when unset, and 0 stands for one of each.
//! `NIZHAL_SEED` is the first seed of every test; it is 0 when unset. `tests/run` takes it from the commit, so that each commit
//! tries seeds that none before it tried, and a run of the same commit tries the same.
//!
//! ```
//! for seed in nizhal_seeds::range(30) {
//!     let sum = (seed % 7) + (seed % 5);
//!     assert!(sum <= 10, "{sum}; {}", nizhal_seeds::again(seed));
//! }
//! ```

use std::{ops::Range, path::Path};

const THOROUGH: &str = "NIZHAL_THOROUGH";
const SEED: &str = "NIZHAL_SEED";

/// The factor of every count, from `NIZHAL_THOROUGH`.
///
/// # Panics
/// When the variable is no whole number.
pub fn thorough() -> u64 {
    variable(THOROUGH).unwrap_or(1)
}

/// The count that this run tries of what a quick run tries `quick` times; at least one.
///
/// # Panics
/// As [`thorough`].
pub fn count(quick: u64) -> u64 {
    scaled(quick, thorough())
}

/// The first seed of this run, from `NIZHAL_SEED`; prints how to run the calling test from there again.
///
/// A test's output is shown when it fails, and so is this.
///
/// # Panics
/// When the variable is no whole number.
pub fn first() -> u64 {
    let first = variable(SEED).unwrap_or(0);
    println!("{}", command(first, variable(THOROUGH)));
    first
}

/// The seeds of this run, where a quick run has `quick` of them.
///
/// # Panics
/// As [`first`] and [`count`].
pub fn range(quick: u64) -> Range<u64> {
    let first = first();
    first..first.saturating_add(count(quick))
}

/// The state for a random number generator of the caller's own, mixed from the first seed and this name; never zero.
///
/// # Panics
/// As [`first`].
pub fn state(name: &str) -> u64 {
    mixed(first(), name)
}

/// How to run the calling test again with this seed alone.
pub fn again(seed: u64) -> String {
    command(seed, Some(0))
}

fn scaled(quick: u64, thorough: u64) -> u64 {
    quick.saturating_mul(thorough).max(1)
}

/// FNV-1a of the name, and then SplitMix64's last step.
fn mixed(seed: u64, name: &str) -> u64 {
    let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash) ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state ^ (state >> 31)).max(1)
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no whole number from 0 on: {text}")))
}

/// The shell's line that runs the calling test from this seed.
fn command(seed: u64, thorough: Option<u64>) -> String {
    let thorough = thorough.map(|factor| format!(" {THOROUGH}={factor}")).unwrap_or_default();
    let binary = std::env::current_exe().ok();
    let target = target(binary.as_deref(), std::env::var("CARGO_PKG_NAME").ok().as_deref());
    let thread = std::thread::current();
    // A test's thread bears its name; other threads, and the only one of `--test-threads 1`, do not.
    let test = thread.name().filter(|name| !["main", "tokio-rt-worker"].contains(name));
    let test = test.map(|name| format!(" -- --exact {name}")).unwrap_or_default();
    format!("{SEED}={seed}{thorough} cargo test --workspace{target}{test}")
}

/// The options that select this test binary, whose name is its target's and a hash.
fn target(binary: Option<&Path>, package: Option<&str>) -> String {
    let stem = binary.and_then(Path::file_stem).and_then(|stem| stem.to_str());
    match stem.and_then(|stem| stem.rsplit_once('-')) {
        Some((name, _)) if package.is_some_and(|package| package.replace('-', "_") == name) => " --lib".to_owned(),
        Some((name, _)) => format!(" --test {name}"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_grows_with_the_factor_and_is_never_nothing() {
        assert_eq!([0, 1, 10, 100].map(|thorough| scaled(20, thorough)), [1, 20, 200, 2_000]);
        assert_eq!(scaled(u64::MAX, 2), u64::MAX);
    }

    #[test]
    fn states_of_seeds_and_names_differ() {
        let states = [mixed(0, "a"), mixed(1, "a"), mixed(0, "b"), mixed(0, "")];
        let different: std::collections::BTreeSet<u64> = states.into();
        assert_eq!(different.len(), states.len(), "{states:?}");
    }

    #[test]
    fn a_command_names_the_test_that_asks() {
        let line = again(17);
        let wanted = "NIZHAL_SEED=17 NIZHAL_THOROUGH=0 cargo test --workspace";
        assert!(line.starts_with(wanted), "{line}");
        assert!(line.ends_with(" -- --exact tests::a_command_names_the_test_that_asks"), "{line}");
    }

    #[test]
    fn a_target_is_read_from_the_binary() {
        let binary = Path::new("/target/debug/deps/suite-0f6446925a7b05ec");
        assert_eq!(target(Some(binary), Some("nizhal-tests")), " --test suite");
        let library = Path::new("/target/debug/deps/nizhal_core-0f6446925a7b05ec");
        assert_eq!(target(Some(library), Some("nizhal-core")), " --lib");
        assert_eq!(target(Some(Path::new("/bin/app")), None), "");
    }
}
