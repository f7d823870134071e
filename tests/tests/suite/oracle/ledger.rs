//! What a push must answer, by the wire protocol: sequences, claims, waiting, cancelling; the running is told from outside.

use super::plain::Key;
use nizhal_core::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};

/// One mutation as it goes over the wire.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sequence: Option<(String, i64)>,
    pub(super) depends_on: Vec<String>,
    pub(super) statements: Vec<String>,
    pub(super) rejects: bool,
}

/// What is known of all pushes until now.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    /// By `clientID`: whose it is, and its last mutation.
    pub(super) clients: BTreeMap<String, (usize, i64)>,
    /// By actor and mutation: what was answered.
    stored: BTreeMap<(usize, String), String>,
    /// By `clientID` and number: the rows that it left, each with the number that it gave them.
    pub(super) effects: BTreeMap<(String, i64), Vec<(Key, i64)>>,
}

/// What in this batch others wait for.
#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    mutations: BTreeSet<String>,
    clients: BTreeSet<String>,
}

/// Whether a mutation runs, or what it is answered.
#[derive(Debug)]
pub(super) enum Admission {
    Runs,
    Answered(String),
}

impl Ledger {
    pub(super) fn last(&self, client: &str) -> i64 {
        self.clients.get(client).map_or(0, |(_, last)| *last)
    }

    /// Uses the number up.
    fn use_up(&mut self, actor: usize, sent: &Sent) {
        if let Some((client, number)) = &sent.sequence {
            self.clients.insert(client.clone(), (actor, *number));
        }
    }

    /// Stores an answer for ever.
    pub(super) fn store(&mut self, actor: usize, sent: &Sent, answer: &str) {
        self.use_up(actor, sent);
        self.stored.insert((actor, sent.id.clone()), answer.to_owned());
    }

    pub(super) fn admit(&mut self, wire: Wire, actor: usize, sent: &Sent, waiting: &mut Waiting) -> Admission {
        let answer = |text: &str| Admission::Answered(text.to_owned());
        let client = sent.sequence.as_ref().map(|(client, _)| client);
        let waits = client.is_some_and(|client| waiting.clients.contains(client));
        if wire == Wire::Two && (waits || sent.depends_on.iter().any(|on| waiting.mutations.contains(on))) {
            waiting.mutations.insert(sent.id.clone());
            waiting.clients.extend(client.cloned());
            return answer("barred Waits");
        }
        let is_known = sent.name != "nothing";
        if !is_known && wire == Wire::One {
            return answer("barred UnknownMutator");
        }
        let stored = self.stored.get(&(actor, sent.id.clone())).cloned();
        if let Some((client, number)) = &sent.sequence {
            let (owner, last) = self.clients.get(client).copied().unwrap_or((actor, 0));
            if owner != actor {
                waiting.mutations.insert(sent.id.clone());
                return answer("barred ClientIdTaken");
            }
            if *number <= last {
                return match (stored, wire) {
                    (Some(stored), _) => Admission::Answered(again(&stored)),
                    (None, Wire::One) => answer("barred NumberUsed"),
                    (None, Wire::Two) => answer("refused NumberUsed"),
                };
            }
            if *number > last + 1 {
                waiting.mutations.insert(sent.id.clone());
                waiting.clients.insert(client.clone());
                return answer("barred OutOfOrder");
            }
        }
        if let Some(stored) = stored {
            self.use_up(actor, sent);
            return Admission::Answered(again(&stored));
        }
        if !is_known {
            self.store(actor, sent, "refused UnknownMutator");
            return answer("refused UnknownMutator");
        }
        let refused = |on: &String| self.stored.get(&(actor, on.clone())).is_some_and(|answer| answer != "applied");
        if wire == Wire::Two && sent.depends_on.iter().any(refused) {
            self.store(actor, sent, "refused Cancelled");
            return answer("refused Cancelled");
        }
        Admission::Runs
    }
}

/// The answer of then, heard again.
fn again(stored: &str) -> String {
    if stored == "applied" { "duplicate".to_owned() } else { stored.to_owned() }
}
