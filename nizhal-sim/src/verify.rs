//! What must hold: after each step, of each answer, and when all is over.

use crate::net::{Pushed, ServerResponse, Truth};
use crate::oracle::Rows;
use crate::sim::{Check, Sim};
use nizhal_client::store::Store as _;
use nizhal_client::transport::Request;
use nizhal_core::sql::literal;
use nizhal_core::wire::{MutationResult, MutationStatus};
use nizhal_core::{Hlc, HlcClock, Merge, NodeId};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Of every device that something happened to, after each step.
pub(crate) async fn step(sim: &mut Sim<'_>) -> Check {
    for at in 0..sim.devices.len() {
        if !std::mem::take(&mut sim.devices[at].stirred) {
            continue;
        }
        let device = &sim.devices[at];
        let waiting = device
            .texts(
                "select o.number || '|' || (o.client_id = m.client_id) || '|' || m.next_number || '|' || m.waiting \
                 from _nizhal_outbox o, _nizhal_meta m where o.state = 0 order by o.number",
            )
            .await?;
        // One that waits for an upload has the number 0 until it is over, so that those behind it go on.
        let mut before: Option<i64> = None;
        for (index, line) in waiting.iter().enumerate() {
            let numbers: Vec<i64> = line.split('|').filter_map(|number| number.parse().ok()).collect();
            let [number, own, next, count] = numbers[..] else { return Err(format!("inv22: an outbox says {line}")) };
            if number == 0 {
                continue;
            }
            if own != 1 || before.is_some_and(|before| number != before + 1) {
                return Err(format!("inv15: the outbox of device {at} has gaps: {waiting:?}"));
            }
            if usize::try_from(count) != Ok(waiting.len()) || (index + 1 == waiting.len() && next != number + 1) {
                return Err(format!("inv22: device {at} counts its outbox wrongly: {waiting:?}"));
            }
            before = Some(number);
        }
        effects(sim, at).await?;
    }
    sim.note_shown().await
}

/// What runs whatever the rows are shows until the server has it in its rows.
async fn effects(sim: &Sim<'_>, at: usize) -> Check {
    let device = &sim.devices[at];
    for id in device.texts("select id from _nizhal_outbox where covered = 0").await? {
        let Some(taken) = sim.taken.get(&id) else { continue };
        let Some(effect) = sim.fixture.effect(taken.name, &taken.args).filter(|effect| effect.always) else { continue };
        let count = device.texts(&format!("select cast(({}) as text)", effect.count)).await?;
        // Twice is no fault: rows that came under another sequence show it too, until its answer comes.
        if count == ["0"] {
            return Err(format!("inv11: device {at} does not show its own {}", taken.name));
        }
    }
    Ok(())
}

/// Of an answer: it tells of nothing that its user may not see.
pub(crate) fn answer(sim: &Sim<'_>, who: &str, request: &Request, answer: &ServerResponse) -> Check {
    let Some(truth) = &answer.truth else { return Ok(()) };
    let lines: Vec<&[u8]> =
        if answer.lines { answer.body.split(|&byte| byte == b'\n').collect() } else { vec![&answer.body] };
    for line in lines.into_iter().filter(|line| !line.is_empty()) {
        let said: Value = serde_json::from_slice(line)
            .map_err(|error| format!("the answer to {} is no JSON: {error}", request.path))?;
        let batches: Vec<&Value> = match said.get("rows") {
            Some(_) => vec![&said],
            None => said.get("changed").and_then(Value::as_array).into_iter().flatten().collect(),
        };
        for batch in batches {
            let name = batch.get("table").and_then(Value::as_str).unwrap_or_default();
            let Some(slot) = sim.fixture.shown.slot(name) else { return Err(format!("inv02: table `{name}` is sent")) };
            for row in batch.get("rows").and_then(Value::as_array).into_iter().flatten() {
                let key = sim.fixture.shown.tables[slot].wire_key(row);
                if !truth.rows.contains_key(&(slot, key)) {
                    return Err(format!("inv02: {who} is sent a row of `{name}` that it may not see: {row}"));
                }
            }
        }
    }
    Ok(())
}

/// Of the server, after a push: no stamp is further ahead than its clock ever let one be.
pub(crate) async fn clocks(sim: &mut Sim<'_>) -> Check {
    let millis = sim.server.latest_ms + HlcClock::MAX_AHEAD_MS;
    let most = Hlc { millis, counter: u16::MAX, node: NodeId(u128::MAX) };
    let merging = sim.fixture.shown.tables.iter().filter(|table| table.desc.merge == Merge::Field);
    let mut parts = vec!["select stamp as stamp from _nizhal_deletes".to_owned()];
    parts.extend(merging.map(|table| {
        format!("select stamps.value from {}, json_each(_meta) stamps", nizhal_core::sql::quote(table.desc.name))
    }));
    let sql = format!("select stamp from ({}) where stamp > '{most}' limit 1", parts.join(" union all "));
    match sim.server.texts(&sql).await?.first() {
        None => Ok(()),
        Some(stamp) => Err(format!("inv20: a device's clock gave the stamp {stamp}, beyond {most}")),
    }
}

/// Of the answer to a push: whatever it acknowledges is committed, whatever the database said meanwhile.
pub(crate) async fn on_disk(sim: &mut Sim<'_>, user: usize, answer: &ServerResponse) -> Check {
    let actor = literal(sim.fixture.users[user].key());
    let Pushed { results } = serde_json::from_slice(&answer.body).unwrap_or_default();
    for result in &results {
        let id = &result.client_mutation_id;
        // A hostile device sends one id twice in a push: under a number that is used, which is refused, and under the next.
        let is_applied =
            |other: &MutationResult| other.client_mutation_id == *id && other.status == MutationStatus::Applied;
        if result.status == MutationStatus::Rejected && results.iter().any(is_applied) {
            continue;
        }
        let wanted = match result.status {
            MutationStatus::Applied | MutationStatus::Duplicate => "applied",
            MutationStatus::Rejected => "rejected",
            _ => continue,
        };
        let sql = format!(
            "select status from _nizhal_mutations where actor = {actor} and client_mutation_id = {}",
            literal(id)
        );
        let stored = sim.server.texts(&sql).await?;
        // A number that is used already is refused and stored nowhere.
        let is_stored =
            if wanted == "applied" { stored == [wanted] } else { !stored.iter().any(|status| status == "applied") };
        if !is_stored {
            let status = result.status;
            return Err(format!("inv39: user {user} is told {status:?} of {id}, and the database says {stored:?}"));
        }
    }
    Ok(())
}

/// Of a device that has just stored the end of a snapshot: its rows are those of that moment.
pub(crate) async fn snapshot(sim: &Sim<'_>, at: usize, truth: &Truth) -> Check {
    let device = &sim.devices[at];
    if device.store.is_cut() || !device.texts("select id from _nizhal_outbox").await?.is_empty() {
        return Ok(());
    }
    let grown = truth.grown && device.version == 1;
    let rows = device.rows(sim.fixture, grown).await?;
    same(sim, at, &rows, &truth.rows)
}

/// Compares a device's rows with what its user may see.
fn same(sim: &Sim<'_>, at: usize, rows: &Rows, truth: &Rows) -> Check {
    let keys: BTreeSet<_> = rows.keys().chain(truth.keys()).collect();
    for key in keys {
        let name = sim.fixture.shown.tables[key.0].desc.name;
        match (rows.get(key), truth.get(key)) {
            (Some(row), Some(true_row)) => {
                // An older device lacks the last column.
                if row[..] != true_row[..row.len().min(true_row.len())] {
                    return Err(format!("inv03: device {at} has `{name}` {}: {row:?}, not {true_row:?}", key.1));
                }
            }
            (Some(_), None) => return Err(format!("inv07: device {at} keeps `{name}` {}", key.1)),
            (None, _) => return Err(format!("inv01: device {at} lacks `{name}` {}", key.1)),
        }
    }
    Ok(())
}

/// When all is healed and quiet.
pub(crate) async fn finish(sim: &mut Sim<'_>) -> Check {
    for (what, count) in sim.server.plain.iter().flat_map(|plain| &plain.counts) {
        *sim.trace.counts.entry(what).or_default() += count;
    }
    sim.blobs_at_last().await?;
    let grown = sim.server.version == 1;
    let mut dead_letters: Vec<BTreeMap<String, String>> = Vec::new();
    for at in 0..sim.devices.len() {
        let user = sim.devices[at].user;
        let asked = sim.devices[at].texts("select bucket from _nizhal_subscriptions").await?;
        let truth = sim.fixture.shown.rows(&mut sim.server.external, user, grown, Some(&asked)).await?;
        let device = &sim.devices[at];
        let left = device.texts("select id || ' ' || state || ' ' || covered from _nizhal_outbox").await?;
        if !left.is_empty() {
            return Err(format!("inv23: the outbox of device {at} still has {left:?}"));
        }
        let rows = device.rows(sim.fixture, grown && device.version == 1).await?;
        same(sim, at, &rows, &truth)?;
        let refused = device.store.dead_letters().await.map_err(|error| format!("inv22: {error:?}"))?;
        dead_letters.push(
            refused
                .into_iter()
                .map(|dead_letter| (dead_letter.id, format!("{}: {}", dead_letter.code, dead_letter.error)))
                .collect(),
        );
    }
    let known =
        format!("select client_mutation_id || '|' || status from _nizhal_mutations where {}", sim.fixture.is_honest());
    let known: BTreeMap<String, String> = sim
        .server
        .texts(&known)
        .await?
        .iter()
        .filter_map(|line| line.split_once('|').map(|(id, status)| (id.to_owned(), status.to_owned())))
        .collect();
    let mut effects: BTreeMap<String, (String, usize)> = BTreeMap::new();
    for (id, taken) in &sim.taken {
        let applied = known.get(id).is_some_and(|status| status == "applied");
        let refused = dead_letters[taken.device].contains_key(id);
        let calls = sim.trace.calls.entry(taken.name).or_default();
        calls.applied += u64::from(applied);
        if refused {
            calls.refusal = dead_letters[taken.device].get(id).cloned();
        }
        let what = format!("{} of device {}", taken.name, taken.device);
        if applied && refused {
            return Err(format!("inv16: {what} applied, and its device was told that it did not"));
        }
        if !applied && !refused && !sim.let_go.contains(id) && !sim.excused.contains(id) {
            return Err(format!("inv13: {what} is lost: the server says {:?}", known.get(id)));
        }
        if let Some(effect) = sim.fixture.effect(taken.name, &taken.args) {
            // A dead letter that was tried again is another mutation with the same effect.
            effects.entry(effect.count).or_insert((what, 0)).1 += usize::from(applied);
        }
    }
    // What the hostile device did in its own buckets counts as well, where no restore took it back.
    let left = format!(
        "select client_mutation_id from _nizhal_mutations where status = 'applied' and not ({})",
        sim.fixture.is_honest()
    );
    for id in sim.server.texts(&left).await? {
        let Some((name, args)) = sim.hostile.applied.get(&id) else { continue };
        if let Some(effect) = sim.fixture.effect(name, args) {
            effects.entry(effect.count).or_insert_with(|| (format!("{name} of the hostile device"), 0)).1 += 1;
        }
    }
    for (query, (what, wanted)) in effects {
        let count = sim.server.texts(&format!("select cast(({query}) as text)")).await?;
        if count != [wanted.to_string()] {
            return Err(format!("inv12: {what} took effect {count:?} times, not {wanted}"));
        }
    }
    Ok(())
}
