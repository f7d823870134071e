//! Cutting a failing case down to what makes it fail.

use super::{plain::Change, script::Step};

/// Delta debugging (Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", 2002): takes ever smaller parts
/// away as long as the rest still fails, then makes what is left simpler; asks no more than `budget` times.
pub(super) fn shrink<S: Clone>(
    steps: Vec<S>,
    simpler: impl Fn(&S) -> Vec<S>,
    mut budget: usize,
    mut fails: impl FnMut(&[S]) -> bool,
) -> Vec<S> {
    let mut steps = steps;
    let mut ask = |candidate: &[S]| {
        budget = budget.saturating_sub(1);
        budget > 0 && fails(candidate)
    };
    let mut part = steps.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        while at < steps.len() {
            let rest: Vec<S> = steps[..at].iter().chain(&steps[(at + part).min(steps.len())..]).cloned().collect();
            if ask(&rest) {
                steps = rest;
            } else {
                at += part;
            }
        }
        part /= 2;
    }
    for at in 0..steps.len() {
        while let Some(next) = simpler(&steps[at]).into_iter().find(|step| {
            let mut candidate = steps.clone();
            candidate[at] = step.clone();
            ask(&candidate)
        }) {
            steps[at] = next;
        }
    }
    steps
}

/// The same step with one thing less.
pub(super) fn simpler(step: &Step) -> Vec<Step> {
    let without = |changes: &[Change]| -> Vec<Vec<Change>> {
        let one_less = |at: usize| [&changes[..at], &changes[at + 1..]].concat();
        (0..changes.len()).map(one_less).collect()
    };
    match step {
        Step::Ours(changes) => without(changes).into_iter().map(Step::Ours).collect(),
        Step::Hold(changes) => without(changes).into_iter().map(Step::Hold).collect(),
        Step::Outside { changes, together } => {
            without(changes).into_iter().map(|changes| Step::Outside { changes, together: *together }).collect()
        }
        Step::Push { device, mutations } => {
            let mut all = Vec::new();
            for at in 0..mutations.len() {
                let mut fewer = mutations.clone();
                fewer.remove(at);
                if !fewer.is_empty() {
                    all.push(fewer);
                }
                for changes in without(&mutations[at].changes) {
                    let mut lesser = mutations.clone();
                    lesser[at].changes = changes;
                    all.push(lesser);
                }
                if !mutations[at].depends_on.is_empty() {
                    let mut free = mutations.clone();
                    free[at].depends_on.clear();
                    all.push(free);
                }
            }
            all.into_iter().map(|mutations| Step::Push { device: *device, mutations }).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn what_does_not_matter_goes() {
    // Fails where a 3 comes before a 7 that is at least 10 of something; the numbers may be halved.
    let steps: Vec<u32> = (0..60).collect();
    let mut asked = 0;
    let left = shrink(
        steps,
        |step| if *step > 40 { vec![step / 2, step - 1] } else { Vec::new() },
        1000,
        |steps| {
            asked += 1;
            let three = steps.iter().position(|step| *step == 3);
            let large = steps.iter().position(|step| *step > 40);
            matches!((three, large), (Some(three), Some(large)) if three < large)
        },
    );
    assert_eq!(left, [3, 41], "after {asked} questions");
}
