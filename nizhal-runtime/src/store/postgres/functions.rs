//! The engine's functions and triggers that Postgres lacks, as statements.

use super::{
    blob, capture, capture::Level, clock, field, found::Found, leave, purpose::Purpose, record, trigger::APPLIED, undo,
};
use crate::{
    schema::Schema,
    store::{
        field::merges,
        published_columns::published_columns,
        replay::{self, Images},
        sql::{Dialect, quote, stamped},
        write_set,
    },
};
use nizhal_core::{Merge, TableDesc};
use std::collections::BTreeSet;

/// How the names of the triggers begin of which each synced table has one of a kind.
const CAPTURE_KINDS: [&[&str]; 5] = [
    &["_nizhal_stamp", "_nizhal_told", "_nizhal_field"],
    &["_nizhal_insert"],
    &["_nizhal_update"],
    &["_nizhal_delete"],
    &["_nizhal_truncate"],
];

/// Functions of fixed names that triggers call.
const TRIGGERED: [&str; 2] = ["_nizhal_stamp", "_nizhal_restored"];
/// Functions that are called as whoever writes, and as the server's user, neither of whom need be their owner. The default privileges of
/// the database may keep them from everybody else.
const OPEN: [&str; 5] = ["_nizhal_version", "_nizhal_horizon", "_nizhal_written", "_nizhal_due", "_nizhal_leave"];

/// What the schema needs of them, while the plan is written.
struct Needed<'a> {
    schema: &'a Schema,
    found: &'a Found,
    purpose: Purpose,
    plan: &'a mut Vec<String>,
    functions: BTreeSet<String>,
    /// The table or partition, and the trigger.
    triggers: BTreeSet<(String, String)>,
    /// The statements that make triggers, which come behind the functions that they call.
    creates: Vec<String>,
}

/// Writes down the statements that make what is missing, and drop what nobody needs.
pub(super) fn missing(schema: &Schema, found: &Found, purpose: Purpose, plan: &mut Vec<String>) {
    let (functions, triggers, creates) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
    let mut needed = Needed { schema, found, purpose, plan, functions, triggers, creates };
    needed.fixed_functions();
    needed.app_functions();
    // A tool that restores may say that no triggers should fire.
    let restores = "before insert on _nizhal_control for each row";
    needed.trigger("_nizhal_control", "_nizhal_restored".to_owned(), restores, "_nizhal_restored");
    for table in schema.synced() {
        needed.capture(table);
    }
    for table in schema.tables().iter().filter(|table| write_set::memberships(schema.rules(), table).next().is_some()) {
        needed.memberships(table);
    }
    for table in schema.tables().iter().filter(|table| table.blob_columns().next().is_some()) {
        needed.blobs(table);
    }
    for images in replay::images(Dialect::Postgres, schema) {
        needed.replayed(&images);
    }
    needed.finish();
}

impl Needed<'_> {
    /// Those of fixed names.
    fn fixed_functions(&mut self) {
        let (found, own) = (self.found, &self.found.namespace);
        for (base, definition) in [
            ("_nizhal_restored", clock::restored_function(&found.schema)),
            ("_nizhal_version", clock::version_function(&found.schema, own.lock_class())),
            ("_nizhal_horizon", clock::horizon_function(&found.schema, own.lock_class())),
            ("_nizhal_note", clock::note_function(&found.schema, &own.session())),
            ("_nizhal_leave", leave::leave_function(&found.schema, &own.session())),
            ("_nizhal_written", clock::written_function(&found.schema)),
            ("_nizhal_due", clock::due_function(&found.schema)),
            ("_nizhal_stamp", clock::stamp_function(&found.schema)),
        ] {
            let definition = own.localize(&definition).into_owned();
            // A marker function carries the hash of the definition, whose own name must stay.
            let marker = stamped(&format!("{base}_is"), &definition);
            if !found.functions.contains(&marker) {
                // Made anew, since what is given back cannot be replaced; but for those that triggers hang on, which give back a trigger
                // for ever.
                let earlier = found.signatures.iter().filter(|(name, _)| name == base && !TRIGGERED.contains(&base));
                self.plan.extend(earlier.map(|(_, signature)| format!("drop function {signature}")));
                self.plan.push(definition);
                self.plan.push(format!("create function {marker}() returns void language sql as ''"));
            }
            if OPEN.contains(&base) {
                self.open(base, found.functions.contains(&marker));
            }
            self.functions.extend([base.to_owned(), marker]);
        }
    }

    /// Those that a push calls, which belong to the rules.
    fn app_functions(&mut self) {
        for function in record::app_functions(self.schema) {
            let is_there = self.found.functions.contains(&function.name);
            if !is_there {
                self.plan.push(self.found.namespace.localize(&function.create()).into_owned());
            }
            self.open(&function.name, is_there);
            self.functions.insert(function.name);
        }
    }

    /// Lets everybody call a function, unless it is there and everybody may.
    fn open(&mut self, name: &str, is_there: bool) {
        if !(is_there && self.found.open_functions.contains(name)) {
            self.plan.push(format!("grant execute on function {}.{name} to public", self.found.schema));
        }
    }

    /// A function of this body, which is named by whom it is for and by what is in it.
    fn function(&mut self, prefix: &str, of: &str, body: &str) -> String {
        let name = function_name(prefix, of, body);
        if !self.found.functions.contains(&name) {
            self.plan.push(format!("create function {name}() {body}"));
        }
        self.functions.insert(name.clone());
        name
    }

    /// A trigger of this table or partition.
    fn trigger(&mut self, table: &str, name: String, when: &str, function: &str) {
        let trigger = (table.to_owned(), name);
        if !self.found.triggers.contains(&trigger) {
            let name = &trigger.1;
            self.creates.push(format!("create trigger {name} {when} execute function {function}()"));
            self.creates.push(always(&quote(table), name));
        }
        self.triggers.insert(trigger);
    }

    /// What stamps and notes the rows of a synced table.
    fn capture(&mut self, table: &TableDesc) {
        let (found, rules, on) = (self.found, self.schema.rules(), quote(table.name));
        let level = found.relations.level(table.name);
        let body = |level, relation: &str| {
            let body = capture::function_body(&found.schema, table, rules, level, relation);
            found.namespace.localize(&body).into_owned()
        };
        let function = self.function("_nizhal_capture", table.name, &body(level, table.name));
        let stamp = self.stamp(table);
        let stamps = format!("before insert or update on {on} for each row");
        self.trigger(table.name, stamp.clone(), &stamps, &stamp);
        let suffix = function.trim_start_matches("_nizhal_capture");
        for verb in ["insert", "update", "delete", "truncate"] {
            self.trigger(table.name, format!("_nizhal_{verb}{suffix}"), &fires(verb, &on, level), &function);
        }
        if level == Level::Statement {
            let of = format!("{} applied", table.name);
            let function = self.function("_nizhal_capture", &of, &body(Level::Applied, table.name));
            self.applied(table, function.trim_start_matches("_nizhal_capture_"), &function);
        }
        // A partition hands rows up to its parent's triggers, and not that it is emptied.
        for partition in found.relations.partitions.names(table.name) {
            let body = body(level, partition);
            let trigger = function_name("_nizhal_truncate", partition, &body);
            if self.purpose == Purpose::Serve && !found.triggers.contains(&(partition.to_owned(), trigger.clone())) {
                // Made in the meantime; the server looks itself whether it was emptied.
                continue;
            }
            let function = self.function("_nizhal_capture", partition, &body);
            self.trigger(partition, trigger, &fires("truncate", &quote(partition), level), &function);
        }
    }

    /// The function that gives a table's rows their version.
    fn stamp(&mut self, table: &TableDesc) -> String {
        let (schema, published) = (&self.found.schema, published_columns(table, self.schema.rules()));
        let (prefix, body) = match &published {
            published if merges(table) => ("_nizhal_field", field::function_body(schema, table, published.as_ref())),
            Some(published) => ("_nizhal_told", clock::published_stamp_body(schema, published, table)),
            None if table.merge == Merge::Replay => ("_nizhal_told", clock::replayed_stamp_body(schema)),
            None => return "_nizhal_stamp".to_owned(),
        };
        let body = self.found.namespace.localize(&body).into_owned();
        self.function(prefix, table.name, &body)
    }

    /// What notes whom a change of a membership table concerns.
    fn memberships(&mut self, table: &TableDesc) {
        let (found, rules, on) = (self.found, self.schema.rules(), quote(table.name));
        let level = found.relations.level(table.name);
        let body = |level| capture::membership_body(&found.schema, table, rules, level);
        let function = self.function("_nizhal_member", table.name, &body(level));
        for verb in ["insert", "update", "delete", "truncate"] {
            self.trigger(table.name, format!("{function}_{verb}"), &fires(verb, &on, level), &function);
        }
        if level == Level::Statement {
            let function = self.function("_nizhal_member", &format!("{} applied", table.name), &body(Level::Applied));
            self.applied(table, function.trim_start_matches("_nizhal_"), &function);
        }
    }

    /// What demands that the blobs are stored that rows name. Of a partitioned table, each partition gets these triggers too.
    fn blobs(&mut self, table: &TableDesc) {
        let body = blob::function_body(&self.found.schema, table);
        let function = self.function(blob::PREFIX, table.name, &body);
        for (verb, when) in blob::fires(table) {
            self.trigger(table.name, format!("{function}_{verb}"), &when, &function);
        }
    }

    /// What keeps the rows of before of a replayed table, and refuses writes past its order.
    fn replayed(&mut self, images: &Images<'_>) {
        let (found, on) = (self.found, quote(images.table().name));
        let body = undo::function_body(&found.schema, images);
        let body = found.namespace.localize(&body).into_owned();
        let function = self.function(undo::PREFIX, images.table().name, &body);
        let written = format!("after insert or update or delete on {on} for each row");
        let trigger = (images.table().name.to_owned(), format!("{function}_written"));
        let is_kept = found.triggers.contains(&trigger) && !found.disabled.contains(&trigger);
        self.trigger(&trigger.0, trigger.1.clone(), &written, &function);
        if !is_kept {
            self.creates.push(replay::SETTLE.to_owned());
        }
        let truncated = format!("{function}_truncate");
        self.trigger(images.table().name, truncated.clone(), &fires("truncate", &on, Level::Row), &function);
        // As for capture: a partition hands up no truncate, and a server that starts leaves those that were made in the meantime.
        for partition in found.relations.partitions.names(images.table().name) {
            let is_there = found.triggers.contains(&(partition.to_owned(), truncated.clone()));
            if is_there || self.purpose != Purpose::Serve {
                let when = fires("truncate", &quote(partition), Level::Row);
                self.trigger(partition, truncated.clone(), &when, &function);
            }
        }
    }

    /// The trigger of the rows that logical replication applies.
    fn applied(&mut self, table: &TableDesc, suffix: &str, function: &str) {
        let when = format!("after insert or update or delete on {} for each row", quote(table.name));
        self.trigger(table.name, format!("{APPLIED}{suffix}"), &when, function);
    }

    /// Drops what nobody needs any more, and switches on and makes the triggers.
    fn finish(self) {
        let Self { schema, found, purpose, plan, functions, triggers, creates } = self;
        for (table, stale) in found.triggers.difference(&triggers) {
            let is_declared = || schema.tables().iter().any(|declared| declared.name == table);
            let empties = stale.starts_with("_nizhal_truncate") || stale.ends_with("_truncate");
            if purpose == Purpose::Serve && empties && !is_declared() {
                // What is left on a partition that was detached.
                continue;
            }
            plan.push(format!("drop trigger {} on {}", quote(stale), quote(table)));
        }
        plan.extend(switched_on(found, &triggers));
        plan.extend(creates);
        let is_rest = |name: &str| purpose == Purpose::Serve && name.starts_with("_nizhal_capture");
        for (_, stale) in found.signatures.iter().filter(|(name, _)| !functions.contains(name) && !is_rest(name)) {
            plan.push(format!("drop function {stale}"));
        }
    }
}

/// The name of a function of this body, which this table or partition has.
fn function_name(prefix: &str, of: &str, body: &str) -> String {
    stamped(prefix, &format!("{of}\n{body}"))
}

/// When a trigger of this verb runs.
fn fires(verb: &str, on: &str, level: Level) -> String {
    let rows = match (level, verb) {
        // Only before a truncate are the rows still there.
        (_, "truncate") => return format!("before truncate on {on} for each statement"),
        (Level::Row | Level::Applied, _) => return format!("after {verb} on {on} for each row"),
        (Level::Statement, "insert") => "new table as new_rows",
        (Level::Statement, "update") => "old table as old_rows new table as new_rows",
        (Level::Statement, _) => "old table as old_rows",
    };
    format!("after {verb} on {on} referencing {rows} for each statement")
}

/// Has a trigger fire also where `session_replication_role` says that none should: what it does not note, nobody judges. Those of
/// applied rows fire there alone, beside the others.
fn always(on: &str, trigger: &str) -> String {
    let when = if trigger.starts_with(APPLIED) { "replica" } else { "always" };
    format!("alter table {on} enable {when} trigger {}", quote(trigger))
}

/// Switches on those of these triggers that somebody switched off, on a table or on a partition.
fn switched_on(found: &Found, triggers: &BTreeSet<(String, String)>) -> Vec<String> {
    let own = found.disabled.iter().filter(|trigger| found.triggers.contains(trigger) && triggers.contains(trigger));
    let clones = found.disabled_clones.iter().filter(|(_, trigger)| triggers.iter().any(|(_, name)| name == trigger));
    own.map(|(table, trigger)| always(&quote(table), trigger))
        .chain(clones.map(|(partition, trigger)| always(partition, trigger)))
        .collect()
}

/// Whether a table that was synced before lacks triggers of some kind, or has them switched off: nobody knows what was written
/// meanwhile, so all devices start again.
pub(super) fn had_lost_triggers(schema: &Schema, found: &Found) -> bool {
    let was_synced = |table: &&&TableDesc| found.rules.iter().any(|branch| branch.table() == table.name);
    let lacks = |table: &&TableDesc, kinds: &[&str]| {
        let has =
            |(on, trigger): &&(String, String)| on == table.name && kinds.iter().any(|kind| trigger.starts_with(kind));
        !found.triggers.iter().filter(has).any(|trigger| !found.disabled.contains(trigger))
    };
    // A partition's triggers are its own rows of the catalog: those of its parent by the same name, and one for `truncate`.
    let lacks_in_partitions = |table: &&TableDesc| {
        let of_partition = |name: &str| found.relations.partitions.names(table.name).any(|partition| partition == name);
        found.disabled.iter().any(|(on, trigger)| of_partition(on) && trigger.starts_with("_nizhal_truncate"))
            || found.disabled_clones.iter().any(|(_, trigger)| {
                let is_capture = CAPTURE_KINDS.iter().any(|kinds| kinds.iter().any(|kind| trigger.starts_with(kind)));
                is_capture && found.triggers.contains(&(table.name.to_owned(), trigger.clone()))
            })
    };
    schema
        .synced()
        .iter()
        .filter(was_synced)
        .any(|table| CAPTURE_KINDS.iter().any(|kinds| lacks(table, kinds)) || lacks_in_partitions(table))
}
