//! A script's run: the engine on one side, plain SQL on the other, and what must hold after each step.

use super::{
    declare::{ADMIN, Claims},
    device::{Device, Page, Taken},
    ledger::Ledger,
    place::{Ground, Location},
    plain::{Change, Dump, Key, Only, Plain, Rows},
    script::{Fate, Pull, Script, Step, client_id},
    shape::{Actor, BLOBS, STAMP_AT, hash},
};
use nizhal::Principal;
use nizhal_core::wire::{CursorText, PullRequest, Wire};
use nizhal_runtime::{
    Lines,
    engine::{Engine, Line},
    schema::Schema,
    store::{Store, StoreSettings},
};
use nizhal_tests::{Connection, Kind};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// What a step, or a case, came to: the invariant that broke, and how.
pub(super) type Check<T = ()> = Result<T, String>;

pub(super) struct World<'a> {
    pub(super) plain: Plain<'a>,
    pub(super) script: &'a Script,
    pub(super) engine: &'a Engine,
    pub(super) db: &'a mut Connection,
    pub(super) ledger: Ledger,
    /// Pushes until now: whose, in which wire.
    pub(super) sent: Vec<(usize, Wire, Vec<super::ledger::Sent>)>,
    settings: &'a StoreSettings,
    schema: &'a Arc<Schema>,
    devices: Vec<Device>,
    /// A stranger's open transaction, and the step that began it.
    held: Option<(Connection, usize)>,
    /// How many steps were done.
    now: usize,
    /// In a watched case: by bucket and row, the last step after which the bucket showed the row.
    shown: BTreeMap<(String, Key), usize>,
}

/// Runs a script on a ground of its shape.
pub(super) async fn run(script: &Script, place: &Location, ground: &mut Ground) -> Check {
    let mut world = World {
        plain: Plain { shape: &script.shape, kind: place.kind() },
        script,
        engine: &ground.engine,
        db: &mut ground.db,
        ledger: Ledger::default(),
        sent: Vec::new(),
        settings: &ground.settings,
        schema: &ground.schema,
        devices: script.devices.iter().map(|(_, wire)| Device::new(*wire)).collect(),
        held: None,
        now: 0,
        shown: BTreeMap::new(),
    };
    for (at, step) in script.steps.iter().enumerate() {
        world.now = at;
        world.step(at, step, place).await.map_err(|told| format!("{told}\n    at step {at}"))?;
    }
    world.settle().await
}

impl<'a> World<'a> {
    pub(super) fn actor(&self, at: usize) -> &'a Actor {
        &self.script.shape.actors[at]
    }

    pub(super) fn principal(&self, actor: usize) -> Principal {
        Principal::new(Claims::of(self.actor(actor)), None)
    }

    async fn step(&mut self, at: usize, step: &Step, place: &Location) -> Check {
        match step {
            Step::Pull(pull) => drop(self.pull(pull).await?),
            Step::Push { device, mutations } => self.push(*device, mutations).await?,
            Step::Redeliver { back, other_wire } => self.redeliver(*back, *other_wire).await?,
            Step::Ours(changes) => {
                let statements = self.statements(changes);
                self.ours(format!("ours-{at}"), statements).await?;
            }
            Step::Outside { changes, together } => {
                let statements = self.statements(changes);
                if *together {
                    self.together(&statements).await;
                } else {
                    for statement in &statements {
                        // A duplicate key is a change that did not happen; so is a savepoint outside a transaction.
                        let _ = self.db.try_execute(statement).await;
                        self.watch().await;
                    }
                }
            }
            Step::Hold(changes) if self.plain.kind == Kind::Postgres && self.held.is_none() => {
                let mut held = place.connect().await;
                held.execute("begin").await;
                for statement in self.plain.statements(changes) {
                    let _ = held.try_execute(&statement).await;
                }
                self.held = Some((held, at));
            }
            Step::Hold(_) => {}
            Step::LetGo { commits } => self.let_go(*commits).await,
            Step::Back { device, by } => self.devices[*device].go_back(*by),
            Step::Garble { device, cursor } => {
                let device = &mut self.devices[*device];
                (*cursor).clone_into(&mut device.cursor);
                // The first cursor says that nothing is held.
                if matches!(*cursor, "" | "0") {
                    device.rows.clear();
                    device.since.clear();
                }
            }
            Step::Collect { half } => self.collect(*half).await,
            Step::Epoch => drop(self.store().await.new_epoch().await.expect("a new epoch")),
        }
        self.watch().await;
        Ok(())
    }

    /// A store of the verbs' own.
    async fn store(&self) -> Store {
        Store::connect(self.settings, self.schema.clone()).await.expect("a database")
    }

    /// All of the statements by a stranger, or none.
    async fn together(&mut self, statements: &[String]) {
        self.db.execute("begin").await;
        for statement in statements {
            if self.db.try_execute(statement).await.is_err() {
                self.db.execute("rollback").await;
                return;
            }
        }
        self.db.execute("commit").await;
    }

    /// The statements; truncating would wait for whoever holds the table.
    fn statements(&self, changes: &[Change]) -> Vec<String> {
        let gently = |change: &Change| match change {
            Change::Truncate { table } if self.held.is_some() => Change::Delete { table: *table, only: Only::All },
            change => change.clone(),
        };
        self.plain.statements(&changes.iter().map(gently).collect::<Vec<_>>())
    }

    async fn ours(&mut self, id: String, statements: Vec<String>) -> Check {
        let sent = super::ledger::Sent {
            id,
            name: ADMIN.to_owned(),
            sequence: None,
            depends_on: Vec::new(),
            statements,
            rejects: false,
        };
        let request = super::push::request(std::slice::from_ref(&sent));
        let reply = self.engine.push(&self.principal(0), Wire::One, request).await;
        match reply.fault {
            None => Ok(()),
            Some(fault) => Err(format!("inv17: our own transaction found a fault: {fault:?}")),
        }
    }

    async fn let_go(&mut self, commits: bool) {
        if let Some((mut held, _)) = self.held.take() {
            held.execute(if commits { "commit" } else { "rollback" }).await;
        }
    }

    async fn collect(&mut self, half: bool) {
        let which = "version <= (select (min(version) + max(version)) / 2 from _nizhal_tombstones)";
        let which = if half { format!(" where {which}") } else { String::new() };
        self.db.execute(&format!("update _nizhal_tombstones set at = '2000-01-01T00:00:00.000Z'{which}")).await;
        let store = self.store().await;
        store.collect_tombstones(1).await.expect("collected");
        store.close().await;
    }

    /// Notes what each bucket shows after a commit.
    async fn watch(&mut self) {
        if self.script.watched {
            let shown = self.plain.shown(self.db).await;
            self.shown.extend(shown.into_iter().map(|shown| (shown, self.now)));
        }
    }

    /// Whether the device may hear that this row is gone: a bucket that it holds showed the row since it holds it.
    fn may_hear(&self, device: &Device, names: &BTreeSet<String>, key: &Key) -> bool {
        names.iter().any(|name| {
            let since = device.since.get(name).copied().unwrap_or(self.now);
            self.shown.get(&(name.clone(), key.clone())).is_some_and(|shown| *shown >= since)
        })
    }

    /// One pull with all its checks; true while there is more.
    async fn pull(&mut self, pull: &Pull) -> Check<bool> {
        let (at, wire) = self.script.devices[pull.device];
        let lines = pull.lines && wire == Wire::Two;
        let mut page = self.ask(pull, lines).await?;
        let actor = self.actor(at);
        let visible = self.plain.visible(self.db, actor).await;
        let user = actor.user;
        for (key, row) in &page.rows {
            if visible.get(key) != Some(row) {
                return Err(format!("inv02: {user} was sent {key:?} {row:?}, and may see {:?}", visible.get(key)));
            }
        }
        for key in &page.gone {
            if visible.contains_key(key) {
                return Err(format!("inv07: {user} was told that {key:?} is gone, and may see it"));
            }
        }
        self.sees_blob(at, BLOBS[self.now % BLOBS.len()], &visible).await?;
        let scope = self.plain.scope(self.db, actor).await;
        let names = self.plain.all_names(&scope, wire == Wire::Two);
        if let Some(held) = page.lost.iter().find(|lost| names.contains(*lost)) {
            return Err(format!("inv07: {user} was told to purge {held:?}, which they hold"));
        }
        let names = self.plain.all_names(&scope, true);
        let device = &self.devices[pull.device];
        let is_told = |key: &&Key| self.script.watched && (page.reset || !self.may_hear(device, &names, key));
        if let Some(key) = page.gone.iter().find(is_told) {
            return Err(format!(
                "inv02: {user} was told that {key:?} is gone, and no bucket showed it since they hold it"
            ));
        }
        if !lines && i64::try_from(page.rows.len() + page.gone.len()).unwrap_or(i64::MAX) > pull.limit {
            return Err(format!("more than {} in a page", pull.limit));
        }
        let last = self.last_mutation_id(pull, at, &page)?;
        // The engine reads up to where the open transaction began; what came after is told later.
        let since = self.held.as_ref().map_or(self.now, |(_, at)| *at);
        match pull.fate {
            Fate::Lost => return Ok(true),
            Fate::Taken => {}
            Fate::Twice => {
                let mut again = self.ask(pull, lines).await?;
                // The database's log has gone on, which a cursor tells of. It goes on from the later one.
                let cursor = std::mem::replace(&mut again.cursor, page.cursor.clone());
                if again != page {
                    return Err(format!("inv05: the same cursor answered {again:?} after {page:?}"));
                }
                if self.devices[pull.device].take(self.plain, &page, &names, since) == Taken::Anew {
                    return Ok(true);
                }
                page.cursor = cursor;
            }
        }
        let device = &mut self.devices[pull.device];
        if device.take(self.plain, &page, &names, since) == Taken::Anew {
            return Ok(true);
        }
        // What was written again after a transaction that is still open comes when that ends.
        if let Some((client, last)) = last.filter(|_| self.held.is_none()) {
            honest(&self.ledger, device, &client, last, &visible)?;
        }
        if !page.has_more && self.held.is_none() && device.rows != visible {
            return Err(format!("inv03: {user} holds {:?}, and may see {visible:?}", device.rows));
        }
        Ok(page.has_more)
    }

    /// Whether the engine shows the actor this blob where one of these rows that it sees names it, and nowhere else.
    async fn sees_blob(&self, actor: usize, digit: char, visible: &Rows) -> Check {
        let hash = hash(digit);
        let named = visible.values().flatten().flatten().any(|text| *text == hash);
        let parsed = hash.parse().expect("a hash");
        let seen = self.engine.visible_blob(&self.principal(actor), parsed).await;
        let seen = seen.map_err(|error| format!("inv17: {error:?}"))?;
        if seen.is_some() != named {
            let user = self.actor(actor).user;
            return Err(format!("inv36: of blob {digit}, {user} is shown {seen:?}, and sees {visible:?}"));
        }
        Ok(())
    }

    /// Whether the engine knows which blobs rows name, deleted ones too.
    async fn knows_referenced(&self, dump: &Dump) -> Check {
        let all = BLOBS.map(|digit| hash(digit).parse().expect("a hash"));
        let known = self.engine.store().referenced_blobs(&all).await.map_err(|error| format!("inv17: {error:?}"))?;
        let is_named = |hash: &str| dump.iter().flatten().flatten().flatten().any(|text| text == hash);
        match BLOBS.iter().find(|digit| {
            let hash = hash(**digit);
            is_named(&hash) != known.iter().any(|known| known.to_string() == hash)
        }) {
            None => Ok(()),
            Some(digit) => Err(format!("inv35: of blob {digit} it is not known whether a row names it: {dump:?}")),
        }
    }

    async fn ask(&self, pull: &Pull, lines: bool) -> Check<Page> {
        let (at, wire) = self.script.devices[pull.device];
        let principal = self.principal(at);
        let request = PullRequest {
            cursor: CursorText(self.devices[pull.device].cursor.clone()),
            device_id: Some(client_id(pull.says)),
            limit: Some(pull.limit),
            ..PullRequest::default()
        };
        let body = if lines {
            self.lines(&principal, &request).await?
        } else {
            let page =
                self.engine.pull(&principal, wire, request).await.map_err(|error| format!("inv17: {error:?}"))?;
            serde_json::from_slice(&page.body).expect("JSON")
        };
        Page::read(self.plain, wire, &body)
    }

    /// A whole pull, its lines put together as one answer.
    async fn lines(&self, principal: &Principal, request: &PullRequest) -> Check<Value> {
        let (to, mut from) = tokio::sync::mpsc::channel(64);
        self.engine.pull_lines(principal, request, &Lines::new(to, Duration::from_secs(60))).await;
        let mut changed = Vec::new();
        while let Some(line) = from.recv().await {
            match line.map_err(|error| format!("inv17: {error:?}"))? {
                Line::Rows(line) => changed.push(serde_json::from_slice(&line).expect("JSON")),
                Line::Last { line, .. } => {
                    let mut last: Value = serde_json::from_slice(&line).expect("JSON");
                    last["changed"] = Value::Array(changed);
                    return Ok(last);
                }
            }
        }
        Err("inv04: lines without a last one".to_owned())
    }

    /// Whose mutations the answer acknowledges, and up to which.
    fn last_mutation_id(&self, pull: &Pull, actor: usize, page: &Page) -> Check<Option<(String, i64)>> {
        let client = client_id(pull.says);
        let known = self.ledger.clients.get(&client).filter(|(owner, _)| *owner == actor).map(|(_, last)| *last);
        match (page.last_mutation_id, known) {
            (Some(said), None) => Err(format!("inv19: lastMutationId {said} of {client}, whom the actor does not own")),
            (Some(said), Some(last)) if said > last => {
                Err(format!("inv11: lastMutationId {said} of {client} after {last}"))
            }
            (said, Some(last)) if said != Some(last) && !page.has_more && self.held.is_none() => {
                Err(format!("inv11: lastMutationId {said:?} of {client} on a last page, and {last} is done"))
            }
            (said, _) => Ok(said.map(|said| (client, said))),
        }
    }

    /// After everything: each device pulls to the end within as many pages as there are changes, and holds what it may.
    async fn settle(mut self) -> Check {
        self.now += 1;
        self.let_go(true).await;
        self.watch().await;
        let dump = self.plain.dump(self.db).await;
        self.knows_referenced(&dump).await?;
        let rows: usize = dump.iter().map(BTreeSet::len).sum();
        let tombstones = self.db.count("_nizhal_tombstones").await;
        let most = rows * self.script.shape.rules.len() + usize::try_from(tombstones).unwrap_or(usize::MAX) + 8;
        for device in 0..self.devices.len() {
            let limit = [2, 3, 1000, 1][device % 4];
            let mut pull = Pull { device, says: device, limit, lines: false, fate: Fate::Taken };
            let mut pages = 0;
            while self.pull(&pull).await? {
                pages += 1;
                if pages > most {
                    return Err(format!("inv04: {pages} pages of {limit} for {most} changes"));
                }
            }
            let (actor, wire) = self.script.devices[device];
            let of = self.actor(actor);
            let visible = self.plain.visible(self.db, of).await;
            for digit in BLOBS {
                self.sees_blob(actor, digit, &visible).await?;
            }
            let scope = self.plain.scope(self.db, of).await;
            let held = self.engine.scope(&self.principal(actor)).await.map_err(|error| format!("inv17: {error:?}"))?;
            let held: BTreeSet<String> = held.iter().map(|bucket| bucket.name_in(wire)).collect();
            if held != self.plain.all_names(&scope, wire == Wire::Two) {
                return Err(format!("inv02: the scope is {held:?}, by plain SQL {scope:?}"));
            }
            pull.limit = 1;
            let idle = self.ask(&pull, false).await?;
            if !(idle.rows.is_empty() && idle.gone.is_empty() && idle.lost.is_empty()) || idle.reset || idle.has_more {
                return Err(format!("inv06: something is sent for ever: {idle:?}"));
            }
        }
        Ok(())
    }
}

/// Every effect of the client's mutations up to `last` is in what the device holds, where its actor may see it.
fn honest(ledger: &Ledger, device: &Device, client: &str, last: i64, visible: &super::plain::Rows) -> Check {
    for ((_, number), effects) in ledger.effects.range((client.to_owned(), 0)..=(client.to_owned(), last)) {
        for (key, stamp) in effects {
            let stamped =
                |row: &super::plain::Image| row[STAMP_AT].as_deref().and_then(|text| text.parse::<i64>().ok());
            let (now, held) = (visible.get(key).and_then(stamped), device.rows.get(key).and_then(stamped));
            // What was written again since may come on a later page, but nothing older may stay meanwhile.
            let is_stale = held.is_some_and(|held| held < *stamp) && now.is_some_and(|now| now > *stamp);
            if is_stale || (now == Some(*stamp) && held != now) {
                return Err(format!(
                    "inv11: mutation {number} of {client} is acknowledged up to {last}, and of {key:?} the device holds {held:?}, \
                     not {stamp}"
                ));
            }
        }
    }
    Ok(())
}
