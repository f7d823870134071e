//! The schedule by itself: what it does in every order of events that a small world allows, and in those that matter.

mod model;

use super::{Action, Event, Failure, FailureKind, Memory, Phase, PushStored, Session, Settings};
use model::{Due, World, failure};

fn memory(waiting: usize, has_cursor: bool) -> Memory {
    Memory { waiting, has_cursor, complete: has_cursor, ..Memory::default() }
}

/// A session that leads, is online, and has nothing due but what it began.
fn working(memory: Memory) -> World {
    let mut world = World::new(memory);
    world.well(&Due::Lead);
    world.handle_event(Event::Online);
    world
}

fn run_until_live(world: &mut World) -> usize {
    for step in 0..60 {
        if world.status.phase == Phase::Live && world.memory.waiting == 0 && world.due.is_empty() {
            return step;
        }
        world.heal();
    }
    panic!("never live again: {world:#?}");
}

/// Every order of events to this depth; the session's own promises are checked after each, and from every end the world heals.
#[test]
fn inv04_from_every_state_the_outbox_drains_when_the_world_heals() {
    fn go(world: &World, depth: usize, seen: &mut usize) {
        *seen += 1;
        if depth == 0 {
            run_until_live(&mut world.clone());
            return;
        }
        for next in world.nexts() {
            go(&next, depth - 1, seen);
        }
    }
    let mut seen = 0;
    for start in [memory(0, false), memory(1, false), memory(1, true), memory(2, true)] {
        go(&World::new(start), 4, &mut seen);
        go(&working(start), 5, &mut seen);
    }
    assert!(seen > 20_000, "the world is too small to say anything: {seen}");
}

#[test]
fn progress_never_goes_back_nor_past_its_total() {
    let mut progress = super::Progress::default();
    let mut after = |before, rows, total| {
        progress.receive(before, super::Received { rows, total });
        (progress.rows, progress.total, progress.fraction())
    };
    assert_eq!(after(0, 3, None), (3, None, None));
    assert_eq!(after(0, 10, Some(40)), (10, Some(40), Some(0.25)));
    // Cut, and begun anew.
    assert_eq!(after(0, 1, Some(40)), (10, Some(40), Some(0.25)));
    assert_eq!(after(20, 10, None), (30, Some(40), Some(0.75)));
    assert_eq!(after(20, 90, None), (40, Some(40), Some(1.0)));
}

/// Further than every order can be followed, random ones.
#[test]
fn inv04_after_long_bad_luck_too() {
    for seed in nizhal_seeds::range(1_000) {
        let mut random = nizhal_core::Random::of(&format!("bad luck {seed}"));
        let mut world = World::new(memory(usize::try_from(random.below(3)).unwrap(), random.below(2) == 0));
        for _ in 0..random.below(60) {
            let mut nexts = world.nexts();
            let at = usize::try_from(random.below(nexts.len() as u64)).unwrap();
            world = nexts.swap_remove(at);
        }
        run_until_live(&mut world);
    }
}

#[test]
fn inv04_a_ping_during_a_pull_asks_for_another() {
    for after in [Due::Pull, Due::StorePull] {
        let mut world = working(memory(0, true));
        run_until_live(&mut world);
        world.handle_event(Event::Frame { repull: true });
        assert_eq!(world.due, [Due::Pull]);
        if after == Due::StorePull {
            world.well(&Due::Pull);
        }
        // Its answer was read before what this one is about.
        world.handle_event(Event::Frame { repull: true });
        world.handle_event(Event::Frame { repull: false });
        if after == Due::Pull {
            world.well(&Due::Pull);
        }
        world.well(&Due::StorePull);
        assert_eq!(world.due, [Due::Pull]);
        world.well(&Due::Pull);
        world.well(&Due::StorePull);
        assert_eq!((world.due.len(), &world.status.phase), (0, &Phase::Live), "once is enough");
    }
}

#[test]
fn inv10_after_absence_a_pull_comes_before_a_push() {
    let mut world = working(memory(1, true));
    assert_eq!(world.due, [Due::Pull]);
    world.well(&Due::Pull);
    world.well(&Due::StorePull);
    assert_eq!(world.due, [Due::Push(1)]);
    // A device that has nothing yet has no cursor to be known by.
    assert_eq!(working(memory(1, false)).due, [Due::Push(1)]);
}

#[test]
fn inv10_a_sequence_that_parted_is_taken_up_anew_after_a_pull() {
    let mut world = working(memory(1, false));
    world.parted = true;
    world.well(&Due::Push(1));
    world.well(&Due::StorePush(1));
    assert_eq!(world.due, [Due::Pull]);
    world.well(&Due::Pull);
    world.well(&Due::StorePull);
    assert_eq!(world.due, [Due::Mend(Action::Rotate)]);
    run_until_live(&mut world);
}

#[test]
fn inv23_answers_that_settle_nothing_are_not_asked_for_without_end() {
    let mut world = working(memory(1, false));
    for _ in 0..20 {
        if world.due != [Due::Push(1)] {
            break;
        }
        world.well(&Due::Push(1));
        world.due.clear();
        let stored = PushStored { memory: world.memory, ..PushStored::default() };
        world.handle_event(Event::PushStored(stored));
    }
    assert!(!world.due.contains(&Due::Push(1)), "it waits before it tries again");
    assert!(matches!(&world.status.error, Some(error) if error.kind == FailureKind::OutOfOrder));
}

#[test]
fn a_token_is_renewed_once_and_then_the_user_must_sign_in() {
    let mut world = working(memory(0, true));
    let refused = || Event::PullFailed(failure(FailureKind::Unauthorized));
    world.due.clear();
    world.handle_event(refused());
    assert_eq!(world.due, [Due::Refresh]);
    world.well(&Due::Refresh);
    assert_eq!(world.due, [Due::Pull]);
    world.due.clear();
    world.handle_event(refused());
    assert_eq!((world.due.len(), &world.status.phase), (0, &Phase::SignedOut));
    world.handle_event(Event::SignedIn);
    run_until_live(&mut world);
    // It was accepted meanwhile, so the next refusal is a new one.
    world.handle_event(Event::Nudge);
    world.due.clear();
    world.handle_event(refused());
    assert_eq!(world.due, [Due::Refresh]);
}

#[test]
fn inv27_an_app_that_is_too_old_keeps_its_writes_and_says_so() {
    let mut world = working(memory(1, false));
    world.due.clear();
    world.handle_event(Event::PushFailed(failure(FailureKind::UpgradeRequired)));
    assert!(matches!(world.status.phase, Phase::UpgradeRequired(_)), "{:?}", world.status);
    assert_eq!((world.due.len(), world.status.pending), (0, 1));
    // The server may be told to take it again: it asks now and then.
    run_until_live(&mut world);
}

#[test]
fn inv16_a_mutation_that_no_request_can_carry_is_found_and_parked() {
    let mut world = working(memory(5, false));
    world.huge = true;
    run_until_live(&mut world);
    assert_eq!((world.memory.dead_letters, world.status.dead_letters), (1, 1));
}

#[test]
fn inv41_a_mutation_at_which_the_server_fails_each_time_is_parked_and_the_rest_goes_on() {
    for has_cursor in [false, true] {
        let mut world = working(memory(5, has_cursor));
        world.poison = Some(FailureKind::ServerError);
        let (mut sent, mut alone, mut stuck) = (0, 0, false);
        while world.memory.dead_letters == 0 {
            assert!(sent < 40, "it is sent without end: {world:#?}");
            sent += usize::from(matches!(world.due.first(), Some(Due::Push(_))));
            alone += usize::from(world.due.first() == Some(&Due::Push(1)));
            world.heal();
            stuck |= matches!(&world.status.phase, Phase::Stuck(failure) if failure.kind == FailureKind::ServerError);
        }
        assert!(alone >= 8 && stuck, "sent {sent} times, {alone} alone, told of: {stuck}");
        run_until_live(&mut world);
        assert_eq!((world.memory.dead_letters, world.memory.waiting, world.status.repairs), (1, 0, 0));
        assert_eq!((&world.status.phase, &world.status.error), (&Phase::Live, &None));
    }
}

#[test]
fn inv17_a_server_that_fails_at_everything_or_is_busy_has_nothing_parked() {
    for (kind, pulls_fail) in [(FailureKind::ServerError, true), (FailureKind::Busy, false), (FailureKind::Busy, true)]
    {
        let mut world = working(memory(2, true));
        world.poison = Some(kind);
        for _ in 0..400 {
            match world.due.first().cloned() {
                Some(Due::Pull) if pulls_fail => {
                    world.due.remove(0);
                    world.handle_event(Event::PullFailed(failure(kind)));
                }
                _ => world.heal(),
            }
        }
        let told = matches!(&world.status.phase, Phase::Stuck(failure) if failure.kind == FailureKind::ServerError);
        assert_eq!(told, kind == FailureKind::ServerError, "{:?}", world.status);
        assert_eq!((world.memory.dead_letters, world.memory.waiting, world.status.repairs), (0, 2, 0));
        world.poison = None;
        run_until_live(&mut world);
    }
}

#[test]
fn inv31_what_a_server_asks_to_wait_is_clamped() {
    for (asked, least, most) in [(i64::MAX, 60_000, 60_000), (-7, 1, 500), (0, 1, 500), (2_000, 2_000, 2_000)] {
        let settings = Settings { realtime: false, poll_ms: (300_000, 300_000), ..Settings::default() };
        let mut session = Session::new(settings, "seed");
        for event in [Event::Started(memory(0, true)), Event::Online, Event::Leads(true)] {
            session.handle(event, 1_000);
        }
        let busy = Failure { retry_after_ms: Some(asked), ..failure(FailureKind::Busy) };
        let actions = session.handle(Event::PullFailed(busy), 1_000);
        let timer = actions.iter().find_map(|action| match action {
            Action::SetTimer(at) => *at,
            _ => None,
        });
        let waits = timer.expect("it tries again") - 1_000;
        assert!((least..=most).contains(&waits), "asked to wait {asked}, waits {waits}");
    }
}

#[test]
fn inv04_what_stands_still_is_repaired_once_then_told_of() {
    let mut world = working(memory(0, true));
    let (mut repairs, mut stuck) = (0, false);
    for _ in 0..200 {
        match world.due.first().cloned() {
            Some(due @ Due::Pull) => {
                world.due.retain(|one| *one != due);
                world.handle_event(Event::PullFailed(failure(FailureKind::Refused)));
            }
            Some(due) => {
                repairs += usize::from(due == Due::Mend(Action::Repair));
                world.well(&due);
            }
            None => world.wake(),
        }
        stuck |= matches!(world.status.phase, Phase::Stuck(_));
    }
    assert_eq!((repairs, world.status.repairs, stuck), (1, 1, true));
    assert!(world.status.last_repair.is_some());
    run_until_live(&mut world);
    assert!(world.status.error.is_none());
}

#[test]
fn inv04_a_network_that_is_away_is_no_reason_to_repair() {
    let mut world = working(memory(1, true));
    for _ in 0..200 {
        if world.due.is_empty() {
            world.wake();
            continue;
        }
        world.due.clear();
        world.handle_event(Event::PullFailed(failure(FailureKind::Network)));
    }
    assert_eq!((world.status.repairs, &world.status.phase), (0, &Phase::Connecting));
    assert!(world.now > 1_000_000, "it wakes all the time: after {} ms", world.now);
}

#[test]
fn inv04_a_request_that_hangs_is_given_up_and_made_again() {
    let mut world = working(memory(0, true));
    while !world.aborted {
        assert_eq!(world.due, [Due::Pull]);
        world.wake();
    }
    assert!(world.now > Settings::default().stall_ms);
    world.heal();
    assert!(matches!(&world.status.error, Some(error) if error.code == "hung"), "{:?}", world.status);
    run_until_live(&mut world);
}

#[test]
fn waits_grow_to_their_limit_and_never_beyond() {
    let settings = Settings::default();
    let mut random = nizhal_core::Random::of("waits");
    let waits: Vec<i64> =
        (1..40).map(|failures| super::direction::backoff_ms(&settings, failures, &mut random)).collect();
    assert!(waits.iter().all(|wait| (1..=settings.longest_wait_ms).contains(wait)), "{waits:?}");
    assert!(waits[0] <= settings.first_wait_ms && waits[38] >= settings.longest_wait_ms / 2, "{waits:?}");
    let other: Vec<i64> =
        (1..40).map(|failures| super::direction::backoff_ms(&settings, failures, &mut random)).collect();
    assert_ne!(waits, other, "a crowd comes back spread out");
}

#[test]
fn local_mode_asks_nobody_for_anything() {
    let mut session = Session::new(Settings { server: false, ..Settings::default() }, "seed");
    for event in [Event::Started(memory(1, false)), Event::Online, Event::Wrote(memory(2, false)), Event::Nudge] {
        let actions = session.handle(event, 0);
        assert!(actions.iter().all(|action| matches!(action, Action::PublishStatus(_))), "{actions:?}");
    }
    assert_eq!((session.status().phase, session.status().pending), (Phase::Local, 2));
}

#[test]
fn mutations_that_wait_for_no_upload_pass_those_that_do() {
    let mut world = working(memory(0, true));
    run_until_live(&mut world);
    world.add_blob();
    assert_eq!(world.due, [Due::Upload], "what is held is not sent");
    world.memory.waiting += 1;
    world.handle_event(Event::Wrote(world.memory));
    assert_eq!(world.due, [Due::Upload, Due::Push(1)], "beside the upload, and without what is held");
    world.well(&Due::Push(1));
    world.well(&Due::StorePush(1));
    assert_eq!((world.status.pending, world.status.held, world.status.uploads), (1, 1, 1));
    world.well(&Due::Upload);
    run_until_live(&mut world);
}

#[test]
fn an_upload_that_fails_waits_and_others_go() {
    let mut world = working(memory(0, true));
    run_until_live(&mut world);
    world.add_blob();
    world.fail_upload(FailureKind::Refused);
    assert!(world.due.is_empty(), "it waits");
    assert!(world.status.error.is_some());
    (world.memory.uploads, world.memory.untried_uploads) = (2, 1);
    world.handle_event(Event::Wrote(world.memory));
    assert_eq!(world.due, [Due::Upload], "a blob that has not failed goes at once");
    world.fail_upload(FailureKind::Network);
    (world.memory.uploads, world.memory.untried_uploads) = (3, 1);
    world.handle_event(Event::Wrote(world.memory));
    assert!(world.due.is_empty(), "it would meet the same network");
    world.handle_event(Event::Nudge);
    assert!(world.due.contains(&Due::Upload), "somebody says that it is worth trying");
}

#[test]
fn a_blob_that_the_server_lacks_is_uploaded_anew() {
    let mut world = working(memory(1, true));
    world.lacks = true;
    for _ in 0..10 {
        if world.due.contains(&Due::Upload) {
            break;
        }
        world.heal();
    }
    assert_eq!(world.memory.held, 1);
    run_until_live(&mut world);
}
