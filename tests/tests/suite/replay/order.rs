//! Whatever the order in which mutations arrive, the rows and the results are those of the plain loop.

use super::{
    plain::{Act, Deed, outcome},
    world::World,
};
use crate::fixture::both;
use nizhal_core::Random;
use nizhal_tests::Kind;

/// The acts of some devices, each with a clock that goes on by itself.
pub(super) fn draw(seed: &str, count: usize, devices: usize) -> Vec<Vec<Act>> {
    let mut random = Random::of(seed);
    let mut pick = |limit: usize| usize::try_from(random.below(limit as u64)).expect("small");
    let base = 1_796_000_000_000;
    let mut clocks: Vec<i64> = (0..devices).map(|_| base + pick(5) as i64).collect();
    let mut acts = vec![Vec::new(); devices];
    for _ in 0..count {
        let device = pick(devices);
        clocks[device] += 1 + pick(3) as i64;
        let item = ["x", "y"][pick(2)];
        let quantity = 1 + pick(3) as i64;
        let deed = match pick(9) {
            0 => Deed::Restock { item, quantity },
            1 | 2 => Deed::Buy { item, quantity },
            3 => Deed::Cancel { item },
            4 | 5 => Deed::Take { slot: ["p", "q", "r"][pick(3)], holder: ["a", "b", "c"][pick(3)] },
            6 => {
                let at = pick(3);
                Deed::Swap { one: ["p", "q", "r"][at], other: ["q", "r", "p"][at] }
            }
            _ => Deed::Pay { amount: pick(70) as i64 - 40 },
        };
        let number = acts[device].len() as i64 + 1;
        acts[device].push(Act { millis: clocks[device], device, number, deed });
    }
    acts
}

/// Every order of arrival in which each device keeps its own.
fn arrivals(left: &[usize]) -> Vec<Vec<usize>> {
    if left.iter().all(|count| *count == 0) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for device in 0..left.len() {
        if left[device] > 0 {
            let mut rest = left.to_vec();
            rest[device] -= 1;
            all.extend(arrivals(&rest).into_iter().map(|mut tail| {
                tail.insert(0, device);
                tail
            }));
        }
    }
    all
}

both![
    inv37_every_order_of_arrival_ends_alike,
    inv37_random_lives_equal_the_plain_loop,
    inv37_devices_that_arrive_at_once_equal_the_plain_loop,
];

async fn inv37_every_order_of_arrival_ends_alike(kind: Kind) {
    let mut world = World::new(kind).await;
    let thorough: usize = std::env::var("NIZHAL_THOROUGH").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 0..2 * thorough {
        let devices = draw(&format!("orders {seed}"), 6, 3);
        let counts: Vec<usize> = devices.iter().map(Vec::len).collect();
        let wanted = outcome(&devices.concat());
        let mut given = None;
        for (at, arrival) in arrivals(&counts).into_iter().enumerate() {
            let shop = format!("s{seed}-{at}");
            world.open(&shop, &["ann"]).await;
            let mut sent = vec![0; devices.len()];
            for &device in &arrival {
                world.arrive(&shop, &devices[device][sent[device]..=sent[device]]).await;
                sent[device] += 1;
            }
            let found = world.outcome(&shop).await;
            assert_eq!(found, wanted, "seed {seed}, arrival {arrival:?} of {devices:?}");
            let ids = world.given(&shop).await;
            let strip = |rows: &Vec<Vec<Option<String>>>| {
                rows.iter().map(|row| (row[0].clone(), row[3].clone())).collect::<Vec<_>>()
            };
            let first = given.get_or_insert_with(|| strip(&ids));
            assert_eq!(strip(&ids), *first, "the same times whatever the order of arrival");
        }
    }
}

async fn inv37_random_lives_equal_the_plain_loop(kind: Kind) {
    let mut world = World::new(kind).await;
    let thorough: usize = std::env::var("NIZHAL_THOROUGH").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    for seed in 0..15 * thorough {
        let shop = format!("life{seed}");
        world.open(&shop, &["ann"]).await;
        let mut random = Random::of(&format!("life {seed}"));
        let mut pick = |limit: usize| usize::try_from(random.below(limit as u64)).expect("small");
        let mut devices = draw(&format!("acts {seed}"), 4 + pick(12), 3);
        let mut arrived: Vec<Act> = Vec::new();
        while devices.iter().any(|acts| !acts.is_empty()) {
            let waiting: Vec<usize> = (0..devices.len()).filter(|device| !devices[*device].is_empty()).collect();
            let device = waiting[pick(waiting.len())];
            let count = 1 + pick(devices[device].len());
            let batch: Vec<Act> = devices[device].drain(..count).collect();
            world.arrive(&shop, &batch).await;
            arrived.extend(batch);
            assert_eq!(world.outcome(&shop).await, outcome(&arrived), "seed {seed}: {arrived:?}");
        }
    }
}

/// Sixteen connections, over one space and over eight: each device sends what it did in its own order, while all others do.
async fn inv37_devices_that_arrive_at_once_equal_the_plain_loop(kind: Kind) {
    let mut world = World::new(kind).await;
    for (name, shops) in [("one", 1), ("eight", 8)] {
        let devices = 16 / shops;
        let all: Vec<(String, Vec<Vec<Act>>)> =
            (0..shops).map(|at| (format!("{name}{at}"), draw(&format!("{name} {at}"), 6 * devices, devices))).collect();
        for (shop, _) in &all {
            world.open(shop, &["ann"]).await;
        }
        let sending = all.iter().flat_map(|(shop, devices)| {
            let world = &world;
            devices.iter().map(move |acts| async move {
                for some in acts.chunks(2) {
                    world.arrive(shop, some).await;
                }
            })
        });
        futures_util::future::join_all(sending).await;
        for (shop, devices) in &all {
            assert_eq!(world.outcome(shop).await, outcome(&devices.concat()), "{shop}");
        }
    }
}
