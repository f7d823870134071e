//! The oracle: a shop as a few maps, on which mutations run one after the other in the order of their stamps. It knows nothing of places,
//! images or transactions.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a mutation does.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Restock { item: &'static str, quantity: i64 },
    Buy { item: &'static str, quantity: i64 },
    Cancel { item: &'static str },
    Take { slot: &'static str, holder: &'static str },
    Swap { one: &'static str, other: &'static str },
    Pay { amount: i64 },
}

/// A mutation, in the order in which mutations take effect: by time, device and id.
#[derive(Clone, Debug)]
pub(super) struct Act {
    pub(super) millis: i64,
    pub(super) device: usize,
    /// The number in its device's sequence, from 1.
    pub(super) number: i64,
    pub(super) deed: Deed,
}

impl Act {
    pub(super) fn id(&self) -> String {
        format!("m{}.{:03}", self.device, self.number)
    }

    /// The mutation as its device sends it from this shop.
    pub(super) fn sent(&self, shop: &str) -> Value {
        let stamp = stamp(self.millis, self.device + 1);
        let (holder_of, id) = (|name: &str| format!("{shop}/{name}"), self.id());
        let (name, args) = match &self.deed {
            Deed::Restock { item, quantity } => {
                ("restock", json!({"shop": shop, "id": id, "item": item, "quantity": quantity}))
            }
            Deed::Buy { item, quantity } => {
                ("buy", json!({"shop": shop, "id": id, "item": item, "quantity": quantity}))
            }
            Deed::Cancel { item } => ("cancel", json!({"shop": shop, "item": item})),
            Deed::Take { slot, holder } => ("take", json!({"shop": shop, "slot": slot, "holder": holder_of(holder)})),
            Deed::Swap { one, other } => ("swap", json!({"shop": shop, "one": one, "other": other})),
            Deed::Pay { amount } => ("pay", json!({"shop": shop, "id": id, "amount": amount})),
        };
        json!({
            "name": name, "args": args, "clientMutationId": format!("{shop}:{id}"), "clientID": format!("{shop}:{}", self.device),
            "mutationID": self.number, "hlc": stamp,
        })
    }
}

/// The stamp of a node at this time.
pub(super) fn stamp(millis: i64, node: usize) -> String {
    let time = nizhal::DateTimeUtc::from_timestamp_millis(millis).expect("a time");
    format!("{}-0000-{node:032x}", time.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

/// The rows of a shop, each as a line of text, and what became of each mutation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) rows: Vec<String>,
    pub(super) applied: BTreeMap<String, bool>,
}

/// Mutations in the order of their places, as they came in: none has a place before what is settled.
#[derive(Clone, Debug, Default)]
pub(super) struct Ordered {
    /// By time, the number among those of one stamp, the device's node, and the id.
    acts: BTreeMap<(i64, u16, usize, String), Act>,
    settled: Option<(i64, u16, usize, String)>,
    /// How many did not come last.
    pub(super) late: usize,
}

impl Ordered {
    pub(super) fn contains(&self, act: &Act) -> bool {
        self.acts.values().any(|known| known.id() == act.id())
    }

    pub(super) fn accept(&mut self, act: Act) {
        let mut place = (act.millis, 0, act.device, format!("s:{}", act.id()));
        let last = self.acts.iter().rev().find(|(_, known)| known.device == act.device).map(|(place, _)| place);
        for other in last.into_iter().chain(&self.settled) {
            if place <= *other {
                (place.0, place.1, place.2) = (other.0, other.1 + 1, other.2);
            }
        }
        self.late += usize::from(self.acts.keys().next_back().is_some_and(|head| place < *head));
        self.acts.insert(place, act);
    }

    /// Nothing takes its place before what is there any more.
    pub(super) fn settle(&mut self) {
        self.settled = self.acts.keys().next_back().cloned().or(self.settled.take());
    }

    /// What comes of them.
    pub(super) fn outcome(&self) -> Outcome {
        run(self.acts.values())
    }
}

#[derive(Default)]
struct Shop {
    stock: BTreeMap<&'static str, i64>,
    orders: BTreeMap<String, (&'static str, i64)>,
    slots: BTreeMap<&'static str, &'static str>,
    entries: BTreeMap<String, (i64, i64)>,
}

/// What comes of these mutations where all are online.
pub(super) fn outcome(acts: &[Act]) -> Outcome {
    let mut acts = acts.to_vec();
    acts.sort_by_key(|act| (act.millis, act.device, act.number));
    run(&acts)
}

/// The plain loop.
fn run<'a>(acts: impl IntoIterator<Item = &'a Act>) -> Outcome {
    let (mut shop, mut applied) = (Shop::default(), BTreeMap::new());
    for act in acts {
        applied.insert(act.id(), shop.run(act));
    }
    Outcome { rows: shop.rows(), applied }
}

impl Shop {
    /// Whether the mutation applied; where it did not, nothing is changed.
    fn run(&mut self, act: &Act) -> bool {
        match &act.deed {
            Deed::Restock { item, quantity } => {
                *self.stock.entry(item).or_default() += quantity;
                true
            }
            Deed::Buy { item, quantity } => match self.stock.get_mut(item) {
                Some(left) if *left >= *quantity => {
                    *left -= quantity;
                    self.orders.insert(act.id(), (item, *quantity));
                    true
                }
                _ => false,
            },
            Deed::Cancel { item } => {
                let last = self.orders.iter().rfind(|(_, (of, _))| of == item).map(|(id, _)| id.clone());
                let Some((_, quantity)) = last.and_then(|id| self.orders.remove(&id)) else { return false };
                *self.stock.entry(item).or_default() += quantity;
                true
            }
            Deed::Take { slot, holder } => {
                let is_taken = self.slots.get(slot).is_some_and(|other| other != holder);
                if !is_taken {
                    self.slots.retain(|_, other| other != holder);
                    self.slots.insert(slot, holder);
                }
                !is_taken
            }
            Deed::Swap { one, other } => {
                let (Some(&first), Some(&second)) = (self.slots.get(one), self.slots.get(other)) else { return false };
                self.slots.insert(one, second);
                self.slots.insert(other, first);
                true
            }
            Deed::Pay { amount } => {
                let balance = self.entries.values().map(|(amount, _)| amount).sum::<i64>() + amount;
                if balance >= -50 {
                    self.entries.insert(act.id(), (*amount, balance));
                }
                balance >= -50
            }
        }
    }

    fn rows(&self) -> Vec<String> {
        let stock = self.stock.iter().map(|(item, quantity)| format!("stock {item} {quantity}"));
        let orders = self.orders.iter().map(|(id, (item, quantity))| format!("order {id} {item} {quantity}"));
        let slots = self.slots.iter().map(|(slot, holder)| format!("slot {slot} {holder}"));
        let entries = self.entries.iter().map(|(id, (amount, balance))| format!("entry {id} {amount} {balance}"));
        let mut rows: Vec<String> = stock.chain(orders).chain(slots).chain(entries).collect();
        rows.sort();
        rows
    }
}
