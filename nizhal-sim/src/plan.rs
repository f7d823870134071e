//! A script from a seed.

use crate::step::Step;
use nizhal_core::Random;

/// Draws one step of a kind.
type Kind = fn(&mut Random) -> Step;

fn byte(random: &mut Random) -> u8 {
    u8::try_from(random.below(256)).unwrap_or(0)
}

fn word(random: &mut Random) -> u32 {
    u32::try_from(random.below(1 << 32)).unwrap_or(0)
}

/// A jump of a clock: mostly small, now and then by years.
fn jump(random: &mut Random) -> i32 {
    let far = [5_000, 120_000, 86_400_000, 2_000_000_000][usize::try_from(random.below(4)).unwrap_or(0)];
    let by = i32::try_from(random.below(far)).unwrap_or(0);
    if random.below(2) == 0 { by } else { -by }
}

/// What makes the world go on; always there.
const ORDINARY: [(u64, Kind); 7] = [
    (14, |random| Step::Write {
        device: byte(random),
        mutator: byte(random),
        draw: word(random),
        after: random.below(6) == 0,
    }),
    (4, |random| Step::Nudge(byte(random))),
    (4, |random| Step::Subscribe { device: byte(random), draw: word(random) }),
    (9, |random| Step::Sync(byte(random))),
    (14, |random| Step::Deliver(byte(random))),
    (3, |random| {
        let most = [700, 5_000, 100_000][usize::try_from(random.below(3)).unwrap_or(0)];
        Step::Wait(u32::try_from(random.below(most)).unwrap_or(0))
    }),
    (3, |random| Step::Change(word(random))),
];

/// What goes wrong. Each life has some of these kinds, since a life with all of them has little of each.
const FAULTS: [(u64, Kind); 52] = [
    (3, |random| Step::Lose(byte(random))),
    (4, |random| Step::Repeat(byte(random))),
    (4, |random| Step::GiveUp(byte(random))),
    (5, |random| Step::Late(byte(random))),
    (2, |random| Step::Cut { message: byte(random), at: u16::try_from(random.below(900)).unwrap_or(0) }),
    (2, |random| Step::Corrupt { message: byte(random), draw: byte(random) }),
    (2, |random| Step::Refuse { message: byte(random), with: byte(random) }),
    (2, |random| Step::Offline(byte(random))),
    (2, |random| Step::Online(byte(random))),
    (2, |random| Step::Crash(byte(random))),
    (4, |random| Step::CutPower { device: byte(random), statements: u8::try_from(random.below(40)).unwrap_or(0) }),
    (5, |random| Step::FailDevice {
        device: byte(random),
        statements: u8::try_from(random.below(30)).unwrap_or(0),
        error: byte(random),
    }),
    (1, |random| Step::EndStream(byte(random))),
    (1, |random| Step::Silence(byte(random))),
    (1, |_| Step::Kill),
    (3, |random| Step::KillWithin(u8::try_from(random.below(8)).unwrap_or(0))),
    (5, |random| Step::FailServer { statements: u8::try_from(random.below(30)).unwrap_or(0), error: byte(random) }),
    (2, |random| Step::EndConnection(u8::try_from(random.below(30)).unwrap_or(0))),
    (2, |random| Step::SilenceConnection(u8::try_from(random.below(30)).unwrap_or(0))),
    (1, |random| Step::DeviceClock { device: byte(random), by: jump(random) }),
    (1, |random| Step::ServerClock(jump(random))),
    (1, |random| Step::Expire(byte(random))),
    (1, |random| Step::SignOut(byte(random))),
    (4, |random| Step::Grant(word(random))),
    (3, |random| Step::Revoke(word(random))),
    (4, |random| Step::Move(word(random))),
    (3, |random| Step::Insert(word(random))),
    (4, |random| Step::Delete(word(random))),
    (2, |random| Step::Revive(word(random))),
    (3, |random| Step::Replace(word(random))),
    (1, |_| Step::UpgradeServer),
    (1, |random| Step::UpgradeDevice(byte(random))),
    (1, |_| Step::NewEpoch),
    (2, |_| Step::Backup),
    (2, |random| Step::Restore { told: random.below(3) == 0 }),
    (2, |_| Step::Collect),
    (3, |_| Step::CollectBlobs),
    (3, |random| Step::SpoilUpload(byte(random))),
    (1, |_| Step::BlobStoreAway),
    (2, |_| Step::BlobStoreBack),
    (3, |random| Step::Probe(word(random))),
    (6, |random| Step::Image(word(random))),
    (1, |_| Step::ForgetImages),
    (1, |random| Step::LoseImage(word(random))),
    (2, |random| Step::PageRows(1 + u8::try_from(random.below(4)).unwrap_or(0))),
    (6, |random| Step::Discard(byte(random))),
    (4, |random| Step::Retry(byte(random))),
    (5, |random| Step::Forge(word(random))),
    (3, |random| Step::Reuse(word(random))),
    (2, |random| Step::Swap(word(random))),
    (1, |random| Step::Flood(word(random))),
    (2, |random| Step::HangUp(word(random))),
];

/// The script of a seed.
pub(crate) fn plan(seed: u64) -> Vec<Step> {
    let mut random = Random::of(&format!("script {seed}"));
    let mut kinds: Vec<(u64, Kind)> = ORDINARY.to_vec();
    let share = 2 + random.below(4);
    for kind in FAULTS {
        if random.below(6) < share {
            kinds.push(kind);
        }
    }
    let all: u64 = kinds.iter().map(|(weight, _)| weight).sum();
    let length = 30 + random.below(51);
    (0..length)
        .map(|_| {
            let mut at = random.below(all);
            let kind = kinds.iter().find(|(weight, _)| {
                let found = at < *weight;
                at = at.saturating_sub(*weight);
                found
            });
            kind.map_or(Step::Wait(0), |(_, draw)| draw(&mut random))
        })
        .collect()
}
