//! The oracle: random rules, random lives of devices, checked against plain SQL written apart from the engine.
//!
//! A case is made from a seed alone, as data: tables, rules, actors, and a list of steps. After every answer each delivered row
//! must satisfy the actor's rules in the database as it is, and no more may be told; when a device has the last page, its rows
//! must be exactly those that plain SQL says the actor may see; every push must come to what its statements come to in plain
//! SQL, judged by the rules. A blob is shown to an actor exactly where a row names it that the actor may see. A case that fails is
//! cut down to the least that fails, and printed.
//!
//! The message of a failure says how to run its case again; `NIZHAL_THOROUGH=10` runs ten times as many.

mod break_in;
mod declare;
mod device;
mod focus;
mod ledger;
mod place;
mod plain;
mod push;
mod script;
mod shape;
mod shrink;
mod tell;
mod world;

/// The break-in test's rule sets; what only spoils them is of no use here.
#[allow(dead_code, reason = "spoilt sets are for the front end's own test")]
#[path = "../../../../nizhal-syntax/tests/break_in/source/mod.rs"]
mod source;

use nizhal_tests::Kind;
use place::{Ground, Location};
use plain::Plain;
use script::{LIVES, Script};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tokio::runtime::Runtime;

/// How often a failing case is run again to cut it down.
const CUTS: usize = 600;
/// Only a case that hangs takes as long.
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn inv02_inv03_inv11_inv18_inv36_random_lives_on_sqlite() {
    cases(Kind::Sqlite, 1_000, Script::random);
}

#[test]
fn inv02_inv03_inv11_inv18_inv36_random_lives_on_postgres() {
    cases(Kind::Postgres, 100, Script::random);
}

/// Runs this run's cases on all cores, of which a quick run has `quick`; panics with the first that fails, cut down.
fn cases(kind: Kind, quick: u64, script: fn(u64) -> Script) {
    let seeds = nizhal_seeds::range(quick);
    let (next, failed) = (AtomicU64::new(seeds.start / LIVES * LIVES), AtomicBool::new(false));
    let work = || {
        let mut workshop = Workshop::new(kind);
        while !failed.load(Ordering::Relaxed) {
            let first = next.fetch_add(LIVES, Ordering::Relaxed);
            if first >= seeds.end {
                return None;
            }
            for seed in first.max(seeds.start)..(first + LIVES).min(seeds.end) {
                let script = script(seed);
                if let Err(told) = workshop.run(&script) {
                    failed.store(true, Ordering::Relaxed);
                    return Some((seed, script, told));
                }
            }
            workshop.ground = None;
        }
        None
    };
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let failures: Vec<(u64, Script, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("the thread ends")).collect()
    });
    if let Some((seed, script, told)) = failures.into_iter().min_by_key(|(seed, ..)| *seed) {
        let (script, told) = cut_down(kind, script, told);
        let text = tell::tell(&script, Plain { shape: &script.shape, kind });
        panic!("{kind:?}, seed {seed}; `{}` runs it again:\n{told}\n\n{text}", nizhal_seeds::again(seed));
    }
}

/// One thread's runtime and database.
struct Workshop {
    runtime: Runtime,
    place: Location,
    /// Of the shape of the case before, if that went well.
    ground: Option<Ground>,
}

impl Workshop {
    fn new(kind: Kind) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let place = runtime.block_on(Location::new(kind));
        Self { runtime, place, ground: None }
    }

    fn run(&mut self, script: &Script) -> world::Check {
        let case = async {
            let mut ground = match self.ground.take() {
                Some(ground) => ground,
                None => Ground::new(&script.shape, &mut self.place).await,
            };
            ground.clean().await;
            world::run(script, &self.place, &mut ground).await?;
            self.ground = Some(ground);
            Ok(())
        };
        let late = "inv04: the case does not end";
        let case =
            async { tokio::time::timeout(DEADLINE, Box::pin(case)).await.unwrap_or_else(|_| Err(late.to_owned())) };
        catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(case))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(format!("panic: {}", text.unwrap_or_default()))
        })
    }
}

/// The least of the script that still fails in the same way.
fn cut_down(kind: Kind, script: Script, told: String) -> (Script, String) {
    let way = |told: &str| told.split(':').next().unwrap_or_default().to_owned();
    let (wanted, mut last) = (way(&told), told);
    let mut workshop = Workshop::new(kind);
    let steps = shrink::shrink(script.steps.clone(), shrink::simpler, CUTS, |steps| {
        let lesser = Script { steps: steps.to_vec(), ..script.clone() };
        match workshop.run(&lesser) {
            Err(told) if way(&told) == wanted => {
                last = told;
                true
            }
            _ => false,
        }
    });
    (Script { steps, ..script }, last)
}
