//! The hostile device: a user with a client of its own making, who has heard all that honest devices said and were told.
//!
//! It has no session and keeps to no rule: it sends what [`forge`](crate::forge) makes. After each of its requests the server's database is
//! compared with the one before: what is not its user's to write is as it was, and so are the answers and numbers of others.

use crate::forge::Forge;
use crate::net::{ServerResponse, pull_start};
use crate::oracle::{BETWEEN, Rows};
use crate::sim::{Check, Sim};
use crate::verify;
use nizhal_client::transport::Request;
use nizhal_core::Random;
use nizhal_core::sql::literal;
use nizhal_runtime::store::StatementFault;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many requests it remembers.
const MAX_OVERHEARD: usize = 60;
/// What is counted when it hung up within a request.
pub(crate) const HUNG_UP: &str = "hostile, hung up";
/// How many requests a flood is.
const FLOOD: usize = 4;

/// What it knows.
#[derive(Default)]
pub(crate) struct Hostile {
    /// Requests of anybody's, the latest last.
    pub(crate) requests: VecDeque<Request>,
    /// Cursors, each with the user whom it was given to.
    pub(crate) cursors: VecDeque<(usize, String)>,
    /// Its own mutations that applied, for their effects.
    pub(crate) applied: BTreeMap<String, (String, Value)>,
    /// Whether it has pulled: before that there is nothing that it could be told is gone.
    has_pulled: bool,
    /// The rows that its user might see at some moment, and those that it might not: of one that it never might see no tombstone may
    /// reach it.
    shown: BTreeSet<(usize, String)>,
    hidden: BTreeSet<(usize, String)>,
}

/// The server's database before and after a request of the hostile device.
struct Seen {
    /// Every row, and those that the user may write.
    all: Rows,
    own: Rows,
    /// Answers and numbers of others.
    records: Vec<String>,
    /// Its own mutations that applied, as [`record_of`] names them.
    applied: BTreeSet<String>,
}

impl Sim<'_> {
    /// It hears what anybody sends, and what anybody is told.
    pub(crate) fn overhear(&mut self, user: usize, request: &Request, answer: Option<&ServerResponse>) {
        if self.fixture.hostile.is_none() {
            return;
        }
        let hostile = &mut self.hostile;
        hostile.requests.push_back(request.clone());
        hostile.cursors.extend(answer.and_then(last_line).and_then(|page| Some((user, text(&page, "cursor")?))));
        while hostile.requests.len() > MAX_OVERHEARD {
            hostile.requests.pop_front();
        }
        while hostile.cursors.len() > MAX_OVERHEARD {
            hostile.cursors.pop_front();
        }
    }

    /// Notes what its user may see now.
    pub(crate) async fn note_shown(&mut self) -> Check {
        let Some(user) = self.fixture.hostile.filter(|_| self.hostile.has_pulled) else { return Ok(()) };
        let own = self.fixture.shown.rows(&mut self.server.external, user, false, None).await?;
        let all = self.fixture.shown.all(&mut self.server.external, false).await?;
        self.hostile.hidden.extend(all.into_keys().filter(|key| !own.contains_key(key)));
        self.hostile.shown.extend(own.into_keys());
        Ok(())
    }

    /// It makes something up.
    pub(crate) async fn forge(&mut self, draw: u32) -> Result<bool, String> {
        let Some(user) = self.fixture.hostile else { return Ok(false) };
        let mut random = Random::of(&format!("forge {draw}"));
        let mut forge = Forge::new(self, draw, &mut random).await?;
        let request = if forge.one_in(3) { forge.pull() } else { forge.push(3) };
        self.attack(user, &request).await.map(|()| true)
    }

    /// It sends what somebody sent before, as its own; a pull or a push.
    pub(crate) async fn reuse(&mut self, draw: u32) -> Result<bool, String> {
        let Some(user) = self.fixture.hostile else { return Ok(false) };
        let requests = &self.hostile.requests;
        let at = usize::try_from(draw).unwrap_or(0) % requests.len().max(1);
        let Some(request) = requests.get(at).cloned() else { return Ok(false) };
        self.attack(user, &request).await.map(|()| true)
    }

    /// Two users' cursors change places: it pulls with another's, and another with its own.
    pub(crate) async fn swap(&mut self, draw: u32) -> Result<bool, String> {
        let Some(user) = self.fixture.hostile else { return Ok(false) };
        let mut random = Random::of(&format!("swap {draw}"));
        let mut forge = Forge::new(self, draw, &mut random).await?;
        let (mine, theirs) = (forge.cursor_of(|of| of == user), forge.cursor_of(|of| of != user));
        let Some((other, theirs)) = theirs else { return Ok(false) };
        let request = forge.pull_with(&theirs);
        let back = mine.map(|(_, mine)| forge.pull_with(&mine));
        self.attack(user, &request).await?;
        if let Some(back) = back {
            self.attack(other, &back).await?;
        }
        Ok(true)
    }

    /// It sends a lot at once: many mutations, and lists and texts beyond their bounds.
    pub(crate) async fn flood(&mut self, draw: u32) -> Result<bool, String> {
        let Some(user) = self.fixture.hostile else { return Ok(false) };
        let mut random = Random::of(&format!("flood {draw}"));
        let mut forge = Forge::new(self, draw, &mut random).await?;
        let mut requests: Vec<Request> = (0..FLOOD).map(|_| forge.push(12)).collect();
        requests.push(forge.beyond_bounds());
        for request in &requests {
            self.attack(user, request).await?;
        }
        Ok(true)
    }

    /// It hangs up while the server works: the request is given up at a statement.
    pub(crate) async fn hang_up(&mut self, draw: u32) -> Result<bool, String> {
        let Some(user) = self.fixture.hostile else { return Ok(false) };
        let mut random = Random::of(&format!("hang up {draw}"));
        let mut forge = Forge::new(self, draw, &mut random).await?;
        let (request, statements) = (forge.push(3), u8::try_from(forge.below(20)).unwrap_or(0));
        self.server.fail_after(statements, HUNG_UP, StatementFault::Silent);
        self.attack(user, &request).await?;
        self.server.disarm();
        // Counted when it happened.
        Ok(false)
    }

    /// One request of the hostile device's, under the token of this user; what came of it is looked at and told to nobody.
    async fn attack(&mut self, user: usize, request: &Request) -> Check {
        let pushes = request.path == "/sync/push";
        let before = if pushes { Some(self.seen(user).await?) } else { None };
        self.trace.record_unhashed(format_args!(
            "  hostile {} {}",
            request.path,
            String::from_utf8_lossy(&request.body)
        ));
        let answered = self.server.answer(self.fixture, user, request).await?;
        match &answered {
            Some(answer) => {
                self.trace.record(format_args!("  hostile {} -> {}", request.path, answer.status));
                self.trace.record_unhashed(format_args!("  {}", String::from_utf8_lossy(&answer.body)));
                if let Some(took) = answer.took {
                    self.trace.count(took);
                }
                verify::answer(self, "the hostile device", request, answer)?;
                if !pushes && answer.status == 200 {
                    self.hostile.has_pulled |= Some(user) == self.fixture.hostile;
                    self.note_shown().await?;
                    self.tells_nothing_of_others(user, request, answer)?;
                }
                if pushes {
                    verify::on_disk(self, user, answer).await?;
                }
            }
            None => {
                self.trace.record(format_args!("  the server dies"));
                self.trace.count("server killed within");
                self.streams_close().await?;
            }
        }
        self.overhear(user, request, answered.as_ref());
        if let Some(before) = before {
            let after = self.seen(user).await?;
            self.take_applied(request, &before, &after);
            harmless(self, &before, &after)?;
            verify::clocks(self).await?;
            self.note_shown().await?;
            self.ping();
        }
        Ok(())
    }

    async fn seen(&mut self, user: usize) -> Result<Seen, String> {
        let grown = self.server.version == 1;
        let actor = literal(self.fixture.users[user].key());
        let records = format!(
            "select actor || ' ' || client_mutation_id || ' ' || status || ' ' || coalesce(mutation_id, '') from _nizhal_mutations \
             where actor <> {actor} union all select client_id || ' ' || actor || ' ' || last_mutation_id || ' ' || acknowledged \
             from _nizhal_clients where actor <> {actor} order by 1"
        );
        let applied = format!(
            "select client_mutation_id || '{BETWEEN}' || name || '{BETWEEN}' || coalesce(client_id, '') || '{BETWEEN}' || \
             coalesce(mutation_id, '') from _nizhal_mutations where actor = {actor} and status = 'applied'"
        );
        Ok(Seen {
            all: self.fixture.shown.all(&mut self.server.external, grown).await?,
            own: self.fixture.shown.writable(&mut self.server.external, user, grown).await?,
            records: self.server.texts(&records).await?,
            applied: self.server.texts(&applied).await?.into_iter().collect(),
        })
    }

    /// Remembers what applied, whatever it was answered.
    fn take_applied(&mut self, request: &Request, before: &Seen, after: &Seen) {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let mut fresh: BTreeSet<&String> = after.applied.difference(&before.applied).collect();
        for mutation in body["mutations"].as_array().into_iter().flatten() {
            if fresh.remove(&record_of(mutation)) {
                let id = text(mutation, "clientMutationId").unwrap_or_default();
                let name = text(mutation, "name").unwrap_or_default();
                self.hostile.applied.insert(id, (name, mutation["args"].clone()));
            }
        }
    }

    /// Of the answer to its pull: no row is named that its user never could see, and another's cursor is none.
    fn tells_nothing_of_others(&self, user: usize, request: &Request, answer: &ServerResponse) -> Check {
        let page = last_line(answer).ok_or("inv02: the hostile device's answer has no end")?;
        let sent = pull_start(request).map(|pull_start| pull_start.cursor).unwrap_or_default();
        let is_anothers = self.hostile.cursors.iter().any(|(of, cursor)| *of != user && *cursor == sent)
            && !self.hostile.cursors.contains(&(user, sent));
        if is_anothers && page["cursorReset"] != true {
            return Err("inv19: another user's cursor is taken from the hostile device".to_owned());
        }
        if Some(user) != self.fixture.hostile {
            return Ok(());
        }
        for list in ["tombstoned", "removed"] {
            for gone in page[list].as_array().into_iter().flatten() {
                let slot = self.fixture.shown.slot(&text(gone, "table").unwrap_or_default());
                let key = slot.map(|slot| (slot, self.fixture.shown.tables[slot].gone_key(gone)));
                if key.is_none_or(|key| !self.hostile.shown.contains(&key) && self.hostile.hidden.contains(&key)) {
                    return Err(format!(
                        "inv02: the hostile device is told that {gone} is gone, which it never could see"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Of its push: what its user may not write is as it was, and so is what others were answered.
fn harmless(sim: &Sim<'_>, before: &Seen, after: &Seen) -> Check {
    if before.records != after.records {
        let lost = before.records.iter().find(|record| !after.records.contains(record));
        return Err(format!("inv19: the hostile device changes what others were answered: {lost:?}"));
    }
    let name = |slot: usize| sim.fixture.shown.tables[slot].desc.name;
    let judged = |slot: usize| !sim.fixture.privileged.contains(&name(slot));
    for (key, row) in before.all.iter().filter(|(key, _)| judged(key.0) && !before.own.contains_key(key)) {
        if after.all.get(key) != Some(row) {
            return Err(format!("inv18: the hostile device changes `{}` {}: {row:?}", name(key.0), key.1));
        }
    }
    for (key, row) in after.all.iter().filter(|(key, _)| judged(key.0) && !after.own.contains_key(key)) {
        if before.all.get(key) != Some(row) {
            return Err(format!("inv18: the hostile device writes `{}` {} outside its buckets", name(key.0), key.1));
        }
    }
    Ok(())
}

/// How [`Sim::seen`] reads the record of a mutation. A push may have several of one id, under numbers and names of their own.
fn record_of(mutation: &Value) -> String {
    let number = mutation["mutationID"].as_i64().filter(|number| *number >= 1);
    let (client, number) = text(mutation, "clientID").zip(number).unzip();
    let (id, name) = (text(mutation, "clientMutationId"), text(mutation, "name"));
    let number = number.map(|number| number.to_string());
    [id, name, client, number].map(Option::unwrap_or_default).join(&BETWEEN.to_string())
}

/// What an answer ends with: the whole page, or a stream's last line.
fn last_line(answer: &ServerResponse) -> Option<Value> {
    let last = answer.body.split(|&byte| byte == b'\n').rfind(|line| !line.is_empty())?;
    serde_json::from_slice(last).ok()
}

fn text(of: &Value, name: &str) -> Option<String> {
    of.get(name).and_then(Value::as_str).map(str::to_owned)
}
