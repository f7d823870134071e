//! Cutting a failing script down to what makes it fail.

/// Delta debugging (Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", 2002): takes ever smaller parts
/// away as long as the rest still fails; asks no more than `budget` times.
pub(crate) fn shrink<S: Clone>(steps: Vec<S>, mut budget: usize, mut fails: impl FnMut(&[S]) -> bool) -> Vec<S> {
    let mut steps = steps;
    let mut part = steps.len().div_ceil(2);
    loop {
        let (mut at, mut cut) = (0, false);
        while at < steps.len() && budget > 0 {
            let rest: Vec<S> = steps[..at].iter().chain(&steps[(at + part).min(steps.len())..]).cloned().collect();
            budget -= 1;
            if fails(&rest) {
                (steps, cut) = (rest, true);
            } else {
                at += part;
            }
        }
        // Single steps are tried until none can go: one may only have been needed by another.
        if budget == 0 || part == 0 || (part == 1 && !cut) {
            return steps;
        }
        part = part.div_ceil(2).max(1);
    }
}

#[test]
fn what_does_not_matter_goes() {
    // Fails where a 3 comes before a 7, which itself needs a 5 or a 6 that comes after.
    let mut asked = 0;
    let left = shrink((0..60).rev().chain(0..9).collect::<Vec<u32>>(), 500, |steps| {
        asked += 1;
        let index = |of| steps.iter().position(|step| *step == of);
        matches!((index(3), steps.iter().rposition(|step| *step == 7)), (Some(three), Some(seven)) if three < seven)
    });
    assert_eq!(left, [3, 7], "after {asked} questions");
}
