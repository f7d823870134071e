//! Running scripts: many seeds, one seed with its trace, a failure cut down.

use crate::app::App;
use crate::fixture::Fixture;
use crate::plan::plan;
use crate::shrink::shrink;
use crate::sim::Sim;
use crate::step::Step;
use crate::trace::{Calls, Counts, Trace};
use crate::verify;
use nizhal_core::MutatorEntry;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often a failing script is run again to cut it down.
const CUTS: usize = 400;
/// How long that may take: each run of a script that hangs takes its whole deadline.
const CUT_TIME: Duration = Duration::from_secs(60);
/// Only a script that hangs takes as long.
const DEADLINE: Duration = Duration::from_secs(60);
/// How many seeds a quick run tries.
const SEEDS: u64 = 200;
/// How many seeds call every mutator of an app.
const SEEDS_FOR_ALL: u64 = 100;
/// How often a mutator is tried before it counts that none was applied.
const TRIES: u64 = 20;

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// How many seeds ran.
    pub seeds: u64,
    /// How often each kind of step had something to act upon.
    pub counts: Counts,
    /// What became of each mutator's calls.
    pub calls: BTreeMap<&'static str, Calls>,
    /// A hash of all that happened: the same for the same seeds.
    pub trace: u64,
}

/// Runs an app through the disasters of many seeds, on all cores.
///
/// These are 200 times `NIZHAL_THOROUGH` (1), from `NIZHAL_SEED` (0) on. `NIZHAL_SIM_SEEDS=n` says how many and
/// `NIZHAL_SIM_SEEDS=m..n` which, for many machines that share the work; `NIZHAL_SIM_SEED=n` runs one again and prints what happens.
///
/// # Panics
/// With the first seed that breaks a promise, what it broke, and the shortest script found that does so too, as a test to paste; and
/// when a mutator was never applied, since a check that sees nothing of it says nothing.
#[expect(clippy::needless_pass_by_value, reason = "a test gives its app away: `check(Ledger)`")]
pub fn check<A: App>(app: A) -> Report {
    let told = |name| std::env::var(name).ok().map(|text| (name, text));
    let seed = told("NIZHAL_SIM_SEED").map(|(name, text)| number(name, &text));
    let seeds = match (seed, told("NIZHAL_SIM_SEEDS")) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some((name, text))) => match text.split_once("..") {
            Some((first, end)) => number(name, first)..number(name, end),
            None => {
                let first = nizhal_seeds::first();
                first..first.saturating_add(number(name, &text))
            }
        },
        (None, None) => nizhal_seeds::range(SEEDS),
    };
    check_seeds(&app, seeds, seed.is_some())
}

/// The same for these seeds, whatever the environment says.
///
/// # Panics
/// As [`check`].
#[expect(clippy::needless_pass_by_value, reason = "a test gives its app away: `check(Ledger)`")]
pub fn check_range<A: App>(app: A, seeds: Range<u64>) -> Report {
    check_seeds(&app, seeds, false)
}

/// A seed that broke a promise, its script, and what it broke.
type Broken = (u64, Vec<Step>, String);

fn check_seeds<A: App>(app: &A, seeds: Range<u64>, told: bool) -> Report {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        let runner = Runner::new();
        let fixture = runner.runtime.block_on(Fixture::new(app));
        let (mut report, mut broken) = (Report::default(), None);
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds.end {
                break;
            }
            let script = plan(seed);
            let (trace, done) = runner.run(&fixture, &script, told);
            report.add_run(seed, &trace);
            trace.lines().iter().for_each(|line| println!("{line}"));
            if let Err(what) = done {
                stop.store(true, Relaxed);
                broken = Some((seed, script, what));
            }
        }
        (report, broken)
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = cores.min(usize::try_from(seeds.end.saturating_sub(seeds.start)).unwrap_or(cores)).max(1);
    let done: Vec<(Report, Option<Broken>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        threads.into_iter().map(join).collect()
    });
    let mut report = Report::default();
    let mut broken: Vec<Broken> = Vec::new();
    for (part, found) in done {
        report.add(part);
        broken.extend(found);
    }
    if let Some((seed, script, what)) = broken.into_iter().min_by_key(|(seed, ..)| *seed) {
        let runner = Runner::new();
        let fixture = runner.runtime.block_on(Fixture::new(app));
        let (script, what) = runner.cut_down(&fixture, script, what);
        let steps: String = script.iter().map(|step| format!("        Step::{step:?},\n")).collect();
        panic!(
            "seed {seed} breaks a promise (NIZHAL_SIM_SEED={seed} runs it again):\n{what}\n\n\
             #[test]\nfn seed_{seed}() {{\n    use nizhal_sim::Step;\n    nizhal_sim::replay(App, &[\n{steps}    ]);\n}}\n"
        );
    }
    report.demand_applied(&app.mutators(), &app.never_applied());
    report
}

impl Report {
    fn add_run(&mut self, seed: u64, trace: &Trace) {
        self.seeds += 1;
        // A sum, since seeds end in any order.
        self.trace = self.trace.wrapping_add(trace.hash().wrapping_mul(seed.wrapping_mul(2).wrapping_add(1)));
        for (kind, count) in &trace.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.add_calls(&trace.calls);
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.trace = self.trace.wrapping_add(other.trace);
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count;
        }
        self.add_calls(&other.calls);
    }

    fn add_calls(&mut self, calls: &BTreeMap<&'static str, Calls>) {
        for (name, calls) in calls {
            let sum = self.calls.entry(name).or_default();
            sum.tried += calls.tried;
            sum.applied += calls.applied;
            // The least of them, since seeds end in any order.
            sum.refusal = [sum.refusal.take(), calls.refusal.clone()].into_iter().flatten().min();
        }
    }

    /// Fails when a mutator was tried often and never applied: then nothing was seen of it.
    fn demand_applied(&self, mutators: &[MutatorEntry], never: &[&str]) {
        for name in mutators.iter().map(|entry| entry.desc.name).filter(|name| !never.contains(name)) {
            let calls = self.calls.get(name).cloned().unwrap_or_default();
            let rare = self.seeds < SEEDS_FOR_ALL && calls.tried < TRIES;
            if calls.applied == 0 && !rare {
                let refusal = calls.refusal.unwrap_or_else(|| "nothing was said against it".to_owned());
                panic!(
                    "`{name}` was never applied in {} tries, so nothing was seen of it: {refusal}\n\
                     Give it arguments that fit in `App::args`, or name it in `App::never_applied`.",
                    calls.tried
                );
            }
        }
    }
}

/// Runs one script, such as [`check`] prints.
///
/// # Panics
/// When it breaks a promise.
#[expect(clippy::needless_pass_by_value, reason = "a test gives its app away: `check(Ledger)`")]
pub fn replay<A: App>(app: A, script: &[Step]) {
    let runner = Runner::new();
    let fixture = runner.runtime.block_on(Fixture::new(&app));
    let (trace, done) = runner.run(&fixture, script, true);
    if let Err(broken) = done {
        trace.lines().iter().for_each(|line| println!("{line}"));
        panic!("{broken}");
    }
}

fn number(name: &str, text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}

struct Runner {
    runtime: Runtime,
}

impl Runner {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { runtime: runtime.unwrap_or_else(|error| panic!("no runtime: {error}")) }
    }

    fn run(&self, fixture: &Fixture<'_>, script: &[Step], told: bool) -> (Trace, Result<(), String>) {
        let life = async {
            let mut sim = match Sim::new(fixture, told).await {
                Ok(sim) => sim,
                Err(broken) => return (Trace::new(told), Err(broken)),
            };
            let lived = AssertUnwindSafe(async {
                for step in script {
                    sim.step(*step).await?;
                }
                sim.quiesce().await?;
                verify::finish(&mut sim).await
            });
            let late = || Err("inv04: the script does not end".to_owned());
            let lived = futures_util::FutureExt::catch_unwind(lived);
            let done = match tokio::time::timeout(DEADLINE, Box::pin(lived)).await {
                Ok(Ok(done)) => done,
                Ok(Err(panic)) => Err(format!("panic: {}", text_of(&*panic))),
                Err(_) => late(),
            };
            let trace = std::mem::replace(&mut sim.trace, Trace::new(false));
            sim.close().await;
            (trace, done)
        };
        let lived = catch_unwind(AssertUnwindSafe(|| self.runtime.block_on(Box::pin(life))));
        fixture.workdir.clear();
        lived.unwrap_or_else(|panic| (Trace::new(told), Err(format!("panic: {}", text_of(&*panic)))))
    }

    /// The least of the script that still fails in the same way.
    fn cut_down(&self, fixture: &Fixture<'_>, script: Vec<Step>, broken: String) -> (Vec<Step>, String) {
        let way = |broken: &str| broken.split(':').next().unwrap_or_default().to_owned();
        let (wanted, mut last, began) = (way(&broken), broken, Instant::now());
        let script = shrink(script, CUTS, |steps| {
            if began.elapsed() > CUT_TIME {
                return false;
            }
            match self.run(fixture, steps, false).1 {
                Err(broken) if way(&broken) == wanted => {
                    last = broken;
                    true
                }
                _ => false,
            }
        });
        (script, last)
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
