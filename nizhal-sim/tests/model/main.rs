//! The protocol in its smallest world, every state of it: two devices with the shipped session, two buckets, three mutations; messages
//! are lost and repeated, devices crash, memberships come and go, the epoch changes.
//!
//! A store and a server are modelled by what the wire protocol promises; what is shipped is the schedule that must bring them together.

mod device;
mod server;

use device::Device;
use server::{Ask, Server};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// What is written: a device's mutations in their order, each into a bucket.
const WRITES: [&[usize]; 2] = [&[0, 1], &[0]];

/// How much trouble there may still be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Trouble {
    lost: u8,
    repeated: u8,
    crashes: u8,
    epochs: u8,
    revokes: u8,
    grants: u8,
}

#[derive(Clone)]
struct World {
    devices: [Device; 2],
    server: Server,
    /// Requests that arrive a second time, whenever that is.
    again: Vec<(usize, Ask)>,
    left: Trouble,
}

impl World {
    fn new(left: Trouble) -> Self {
        Self { devices: [0, 1].map(Device::new), server: Server::new(), again: Vec::new(), left }
    }

    /// Two worlds of the same key have the same future.
    fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for device in &self.devices {
            device.key().hash(&mut hasher);
        }
        (&self.server, &self.again, self.left).hash(&mut hasher);
        hasher.finish()
    }

    /// Everything that can happen next, with its name.
    fn nexts(&self) -> Vec<(String, World)> {
        let mut all = Vec::new();
        let mut then = |name: String, change: &dyn Fn(&mut World)| {
            let mut next = self.clone();
            change(&mut next);
            all.push((name, next));
        };
        for (at, device) in self.devices.iter().enumerate() {
            let writes = WRITES[at];
            if device.written < writes.len() {
                then(format!("{at} writes"), &|world| world.devices[at].write(writes));
            }
            if device.ask.is_some() {
                then(format!("{at} is heard"), &|world| {
                    let ask = world.devices[at].ask.take();
                    world.devices[at].tell = ask.map(|ask| (ask.clone(), world.server.answer(at, &ask)));
                });
                if self.left.repeated > 0 {
                    then(format!("{at} is to be heard twice"), &|world| {
                        world.left.repeated -= 1;
                        world.again.extend(world.devices[at].ask.clone().map(|ask| (at, ask)));
                        world.again.sort();
                    });
                }
            }
            if device.tell.is_some() {
                then(format!("{at} is answered"), &|world| world.devices[at].answered());
            }
            if self.left.lost > 0 && (device.ask.is_some() || device.tell.is_some()) {
                then(format!("{at} hears nothing"), &|world| {
                    world.left.lost -= 1;
                    world.devices[at].hears_nothing();
                });
            }
            if self.left.crashes > 0 {
                then(format!("{at} crashes"), &|world| {
                    world.left.crashes -= 1;
                    world.devices[at].crash();
                });
            }
            if device.ask.is_none() && device.tell.is_none() && device.timer.is_some() {
                then(format!("time passes for {at}"), &|world| world.devices[at].wake());
            }
        }
        for place in 0..self.again.len() {
            then(format!("{} is heard again", self.again[place].0), &|world| {
                let (at, ask) = world.again.remove(place);
                world.server.answer(at, &ask);
            });
        }
        if self.left.epochs > 0 {
            then("the epoch changes".to_owned(), &|world| {
                world.left.epochs -= 1;
                world.server.epoch += 1;
            });
        }
        if self.left.revokes > 0 {
            then("1 loses bucket 0".to_owned(), &|world| {
                world.left.revokes -= 1;
                world.server.held[1][0] = false;
            });
        }
        if self.left.grants > 0 {
            then("1 gains bucket 1".to_owned(), &|world| {
                world.left.grants -= 1;
                world.server.held[1][1] = true;
            });
        }
        all
    }

    /// What must hold in every state.
    fn check(&self) -> Result<(), String> {
        for (at, device) in self.devices.iter().enumerate() {
            if let Some(wrong) = &device.wrong {
                return Err(wrong.clone());
            }
            for number in 0..device.written {
                let id = (at, number);
                let times = self.server.rows.iter().filter(|row| row.id == id).count();
                if times > 1 {
                    return Err(format!("inv12: {id:?} took effect {times} times"));
                }
                let waits = device.disk.outbox.iter().any(|entry| entry.id == id);
                let refused = device.disk.dead_letters.contains(&id);
                if times == 0 && !waits && !refused {
                    return Err(format!("inv13: {id:?} is lost"));
                }
                if times == 1 && refused {
                    return Err(format!("inv16: {id:?} applied, and its device was told that it did not"));
                }
            }
        }
        Ok(())
    }

    /// Whether all is written, sent and seen.
    fn is_done(&self) -> bool {
        self.devices.iter().enumerate().all(|(at, device)| {
            let all = device.written == WRITES[at].len() && device.disk.outbox.is_empty();
            all && device.disk.rows == self.server.shown(at)
        })
    }
}

struct Found {
    states: usize,
    edges: usize,
    done: usize,
}

/// Goes through every state, and then back from the good ones: none may be out of reach of them all.
fn explore(left: Trouble) -> Found {
    let first = World::new(left);
    let mut known: HashMap<u64, u32> = HashMap::from([(first.key(), 0)]);
    let mut come: Vec<(u32, String)> = vec![(0, String::new())];
    let mut back: Vec<Vec<u32>> = vec![Vec::new()];
    let mut done: Vec<u32> = Vec::new();
    let mut open = vec![(0_u32, first)];
    let mut edges = 0;
    let path = |come: &[(u32, String)], mut at: u32| {
        let mut names = Vec::new();
        while at != 0 {
            let (from, name) = &come[at as usize];
            names.push(name.clone());
            at = *from;
        }
        names.reverse();
        names
    };
    while !open.is_empty() {
        for (at, world) in std::mem::take(&mut open) {
            if let Err(wrong) = world.check() {
                panic!("{wrong}\nafter {:#?}", path(&come, at));
            }
            if world.is_done() {
                done.push(at);
            }
            for (name, next) in world.nexts() {
                let fresh = u32::try_from(come.len()).expect("fewer states");
                let place = *known.entry(next.key()).or_insert(fresh);
                if place == fresh {
                    come.push((at, name));
                    back.push(Vec::new());
                    open.push((fresh, next));
                }
                back[place as usize].push(at);
                edges += 1;
            }
        }
    }
    let mut reaches = vec![false; come.len()];
    let mut queue = done.clone();
    while let Some(at) = queue.pop() {
        if !std::mem::replace(&mut reaches[at as usize], true) {
            queue.extend(&back[at as usize]);
        }
    }
    if let Some(stuck) = reaches.iter().position(|reaches| !reaches) {
        panic!("inv04: nothing good can come after {:#?}", path(&come, u32::try_from(stuck).expect("a state")));
    }
    Found { states: come.len(), edges, done: done.len() }
}

const NONE: Trouble = Trouble { lost: 0, repeated: 0, crashes: 0, epochs: 0, revokes: 0, grants: 0 };

fn explore_all(worlds: &[Trouble]) {
    let mut all = 0;
    for left in worlds {
        let found = explore(*left);
        println!("{left:?}: {} states, {} steps between them, {} of them done", found.states, found.edges, found.done);
        assert!(found.done > 0);
        all += found.states;
    }
    println!("{all} states");
}

const ONE: [Trouble; 5] = [
    Trouble { lost: 1, ..NONE },
    Trouble { repeated: 1, ..NONE },
    Trouble { crashes: 1, ..NONE },
    Trouble { epochs: 1, ..NONE },
    Trouble { revokes: 1, ..NONE },
];

/// Worlds of millions of states.
const SEVERAL: [Trouble; 7] = [
    Trouble { revokes: 1, grants: 1, repeated: 1, ..NONE },
    Trouble { revokes: 1, grants: 1, lost: 1, ..NONE },
    Trouble { repeated: 1, epochs: 1, ..NONE },
    Trouble { lost: 1, epochs: 1, ..NONE },
    Trouble { crashes: 1, epochs: 1, ..NONE },
    Trouble { lost: 1, repeated: 1, ..NONE },
    Trouble { lost: 1, crashes: 1, ..NONE },
];

/// A quick run goes through the worlds with one trouble, ten times as thorough a one through some with several, and a
/// hundred times as thorough a one through all, which takes hours.
#[test]
fn inv03_inv04_inv12_inv13_every_state_of_small_worlds() {
    let several = match nizhal_seeds::thorough() {
        0..10 => 0,
        10..100 => 2,
        _ => SEVERAL.len(),
    };
    explore_all(&[&ONE[..], &SEVERAL[..several]].concat());
}
