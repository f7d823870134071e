//! What the hostile device makes up: ids and numbers of others, cursors of nobody, values from other tenants' rows.

use crate::args::Draw;
use crate::sim::Sim;
use nizhal_client::transport::Request;
use nizhal_core::limits::{MAX_DEPENDS_ON, MAX_IDENTIFIER_BYTES, MAX_NAME_BYTES};
use nizhal_core::{Hlc, NodeId, Random};
use serde_json::{Value, json};

/// Its own client.
const CLIENT: &str = "hostile";

/// What it draws from.
pub(crate) struct Forge<'a> {
    random: &'a mut Random,
    draw: u32,
    made: u32,
    now_ms: i64,
    /// The number that its own client is at.
    number: i64,
    /// What others sent: their clients, mutations with their numbers, names.
    clients: Vec<String>,
    ids: Vec<String>,
    numbers: Vec<i64>,
    cursors: Vec<(usize, String)>,
    /// Arguments for mutators, with ids of every tenant's rows.
    calls: Vec<(&'static str, Value)>,
}

impl<'a> Forge<'a> {
    pub(crate) async fn new(sim: &mut Sim<'_>, draw: u32, random: &'a mut Random) -> Result<Self, String> {
        let [rows, values] = sim.server.pool(sim.fixture).await?;
        let last = format!("select cast(last_mutation_id as text) from _nizhal_clients where client_id = '{CLIENT}'");
        let last = sim.server.texts(&last).await?;
        let number = last.first().and_then(|last| last.parse().ok()).unwrap_or(0);
        let now_ms = sim.wall_ms(0);
        let calls = (0..8_u32)
            .map(|at| {
                let mutator = below(random, sim.fixture.mutators.len());
                let fresh = format!("h{draw}-{at}");
                let mut drawing = Draw { random: &mut *random, ids: &rows, values: &values, fresh, now_ms };
                (sim.fixture.mutators[mutator].desc.name, sim.fixture.args(mutator, &mut drawing))
            })
            // What fails each time is a fault of the app's own, and nobody's attack.
            .filter(|(name, args)| !sim.fixture.fails(name, args))
            .collect();
        let sent: Vec<Value> =
            sim.hostile.requests.iter().filter_map(|request| serde_json::from_slice(&request.body).ok()).collect();
        let mutations = || sent.iter().filter_map(|body| body["mutations"].as_array()).flatten();
        let texts =
            |name: &str| mutations().filter_map(|mutation| mutation[name].as_str().map(str::to_owned)).collect();
        Ok(Self {
            random,
            draw,
            made: 0,
            now_ms,
            number,
            clients: texts("clientID"),
            ids: texts("clientMutationId"),
            numbers: mutations().filter_map(|mutation| mutation["mutationID"].as_i64()).collect(),
            cursors: sim.hostile.cursors.iter().cloned().collect(),
            calls,
        })
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        below(self.random, limit)
    }

    pub(crate) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Clone>(&mut self, from: fn(&Self) -> &[T]) -> Option<T> {
        let at = below(self.random, from(self).len());
        from(self).get(at).cloned()
    }

    /// A cursor of a user that fits.
    pub(crate) fn cursor_of(&mut self, fits: impl Fn(usize) -> bool) -> Option<(usize, String)> {
        let found: Vec<_> = self.cursors.iter().filter(|(user, _)| fits(*user)).cloned().collect();
        let at = self.below(found.len());
        found.get(at).cloned()
    }

    fn cursor(&mut self) -> Value {
        let cursor = self.pick(|forge| &forge.cursors).map(|(_, cursor)| cursor).unwrap_or_default();
        match self.below(7) {
            0 | 1 => cursor.into(),
            2 => {
                // One of its bits is another.
                let mut bytes = cursor.into_bytes();
                let at = self.below(bytes.len());
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if *byte == b'A' { b'B' } else { b'A' };
                }
                String::from_utf8_lossy(&bytes).into()
            }
            3 => cursor.chars().take(self.below(cursor.len())).collect::<String>().into(),
            4 => "eyJ2IjozLCJlIjoiIiwibCI6W119".into(),
            5 => json!(9_007_199_254_740_993_i64),
            _ => "".into(),
        }
    }

    pub(crate) fn pull(&mut self) -> Request {
        let cursor = self.cursor();
        let device = if self.one_in(2) { self.pick(|forge| &forge.clients) } else { None };
        let limit = [json!(null), json!(1), json!(i64::MAX), json!(-1)][self.below(4)].clone();
        let lines = self.one_in(2);
        request(
            "/sync/pull",
            lines,
            &json!({"cursor": cursor, "deviceId": device.unwrap_or(CLIENT.to_owned()), "limit": limit}),
        )
    }

    /// A pull of its own with this cursor.
    pub(crate) fn pull_with(&mut self, cursor: &str) -> Request {
        let lines = self.one_in(2);
        request("/sync/pull", lines, &json!({"cursor": cursor, "deviceId": CLIENT}))
    }

    /// A push of at most so many mutations.
    pub(crate) fn push(&mut self, most: usize) -> Request {
        let mutations: Vec<Value> = (0..=self.below(most)).map(|_| self.mutation()).collect();
        request("/sync/push", false, &json!({"mutations": mutations}))
    }

    fn mutation(&mut self) -> Value {
        self.made += 1;
        let fresh = format!("hostile {} {}", self.draw, self.made);
        let (name, args) = self.pick(|forge| &forge.calls).unwrap_or(("noSuchMutator", json!({})));
        let known_id = self.pick(|forge| &forge.ids);
        let id = if self.one_in(4) { known_id.clone().unwrap_or(fresh) } else { fresh };
        let mut mutation = json!({"name": name, "args": args, "clientMutationId": id});
        // Most in its own sequence, so that some apply; others in those of others, or in none.
        match self.below(8) {
            0 => {}
            1 | 2 => {
                mutation["clientID"] = self.pick(|forge| &forge.clients).unwrap_or_default().into();
                let number = self.pick(|forge| &forge.numbers).unwrap_or(1);
                mutation["mutationID"] = number.saturating_add(i64::from(self.one_in(2))).into();
            }
            3 => {
                mutation["clientID"] = CLIENT.into();
                mutation["mutationID"] =
                    [0, -1, i64::MAX, i64::MIN, self.number.saturating_add(9)][self.below(5)].into();
            }
            _ => {
                self.number += 1;
                mutation["clientID"] = CLIENT.into();
                mutation["mutationID"] = self.number.into();
            }
        }
        if self.one_in(5) {
            mutation["dependsOn"] = json!([known_id]);
        }
        if self.one_in(4) {
            let ahead = [0, 86_400_000, 4_000_000_000_000][self.below(3)];
            let stamp = Hlc { millis: self.now_ms + ahead, counter: u16::MAX, node: NodeId(u128::MAX) };
            mutation["hlc"] = stamp.to_string().into();
        }
        mutation
    }

    /// A push whose lists and texts are longer than any may be; read to its end it is refused as a whole, or in the one mutation.
    pub(crate) fn beyond_bounds(&mut self) -> Request {
        let mut mutation = self.mutation();
        match self.below(4) {
            0 => mutation["dependsOn"] = json!(vec!["a"; MAX_DEPENDS_ON + 1]),
            1 => mutation["name"] = "n".repeat(MAX_NAME_BYTES + 1).into(),
            2 => mutation["clientMutationId"] = "i".repeat(MAX_IDENTIFIER_BYTES + 1).into(),
            _ => mutation["clientID"] = "c\0".into(),
        }
        request("/sync/push", false, &json!({"mutations": [mutation]}))
    }
}

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).unwrap_or(0)
}

fn request(path: &'static str, lines: bool, body: &Value) -> Request {
    let contract_version = "1.0.0".to_owned();
    Request { path, token: CLIENT.to_owned(), contract_version, lines, body: body.to_string().into_bytes() }
}
