//! The small app's seeds.

use crate::app::Shops;
use nizhal_sim::Step;

/// Every kind of step, each of which must have had something to act upon.
const KINDS: [&str; 54] = [
    "backup",
    "changed row",
    "corrupted",
    "crash within",
    "crash",
    "cut",
    "database connection ended",
    "database connection silent",
    "database error on a device",
    "database error on the server",
    "deleted row",
    "deliver",
    "dependsOn",
    "device clock",
    "device upgraded",
    "discarded",
    "given up",
    "grant",
    "hostile, flooded",
    "hostile, forged",
    "hostile, hung up",
    "hostile, reused",
    "hostile, swapped cursors",
    "image fetched",
    "image",
    "inserted row",
    "late",
    "lost",
    "moved row",
    "mutation that fails each time",
    "new epoch",
    "nudge",
    "offline",
    "online",
    "page size",
    "refused",
    "repeated",
    "replaced row",
    "restore, told",
    "restore, untold",
    "retried",
    "revived row",
    "revoke",
    "server clock",
    "server killed within",
    "server killed",
    "server upgraded",
    "signed out",
    "stream ended",
    "stream silent",
    "sync",
    "token expired",
    "tombstones collected",
    "wait",
];

#[test]
fn inv01_inv02_inv03_inv04_inv12_inv13_inv18_inv19_inv22_inv39_inv41_disasters_end_well() {
    println!("{:#?}", nizhal_sim::check(Shops));
}

/// The seeds are fixed ones: a few hundred that the commit chose may lack a rare kind.
#[test]
fn every_kind_of_step_is_taken() {
    let report = nizhal_sim::check_range(Shops, 0..200);
    let unused: Vec<&str> = KINDS.into_iter().filter(|kind| !report.counts.contains_key(kind)).collect();
    assert!(unused.is_empty(), "no seed had {unused:?}: {report:#?}");
}

#[test]
fn a_seed_is_a_life() {
    let lives = [(); 2].map(|()| nizhal_sim::check_range(Shops, 0..24));
    assert_eq!(lives[0], lives[1]);
    assert_ne!(lives[0].trace, nizhal_sim::check_range(Shops, 1..25).trace);
}

/// Each of them takes a while to be given up, and the second is not counted as standing still meanwhile.
#[test]
fn inv04_inv41_two_mutations_at_which_the_server_fails_each_time_are_parked_one_by_one() {
    nizhal_sim::replay(
        Shops,
        &[
            Step::Write { device: 79, mutator: 131, draw: 2_038_477_984, after: false },
            Step::Write { device: 79, mutator: 127, draw: 3_405_389_224, after: false },
        ],
    );
}

/// Refused since it depended on one that was, applied when tried again: the same effect, asked for twice, wanted once.
#[test]
fn inv12_inv16_one_that_was_refused_for_another_is_tried_again() {
    nizhal_sim::replay(
        Shops,
        &[
            Step::Write { device: 139, mutator: 252, draw: 1_622_934_295, after: true },
            Step::Write { device: 40, mutator: 183, draw: 2_289_650_258, after: true },
            Step::Sync(241),
            Step::Discard(232),
            Step::Retry(109),
        ],
    );
}

/// What no device waits for gives up a connection that fell silent too.
#[test]
fn inv04_a_silent_database_holds_up_nobody_who_forgets_images() {
    nizhal_sim::replay(Shops, &[Step::SilenceConnection(0), Step::ForgetImages]);
}
