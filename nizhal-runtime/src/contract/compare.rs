//! What clients that were built against one contract could not survive in another.
//!
//! Rows flow to clients: what the new server writes must be readable by the old row schema. Arguments flow to the server: what
//! an old client writes must be readable by the new input schema. Both are one question about two JSON Schemas, asked
//! structurally and on the safe side: what cannot be seen to be readable counts as a break.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Every break between the contract that clients have and the one of now; none means that all changes are additive.
pub(super) fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, was) in parts(old, "tables") {
        let Some(now) = part(new, "tables", name) else {
            found.push(format!("table `{name}` is synced no more"));
            continue;
        };
        if was["primaryKey"] != now["primaryKey"] {
            found.push(format!("table `{name}`: the primary key was {}, is {}", was["primaryKey"], now["primaryKey"]));
        }
        // Who wins, and when, is another then, and what a device made offline is judged otherwise.
        if was["merge"] != now["merge"] && [was, now].iter().any(|table| table["merge"] == "replay") {
            found.push(format!("table `{name}`: merge was {}, is {}", was["merge"], now["merge"]));
        }
        let mut comparison = Comparison {
            reader: old,
            writer: new,
            path: format!("{ROWS}`{name}`"),
            seen: BTreeSet::new(),
            found: &mut found,
        };
        comparison.accepts(&was["row"], &now["row"]);
    }
    for (name, was) in parts(old, "mutators") {
        let Some(now) = part(new, "mutators", name) else {
            found.push(format!("mutator `{name}` is gone"));
            continue;
        };
        match (&was["replay"]["rule"], &now["replay"]["rule"]) {
            (was, now) if was == now => {}
            (Value::Null, now) => {
                found.push(format!("mutator `{name}` is replayed in buckets of rule {now}, and was not"))
            }
            (was, Value::Null) => {
                found.push(format!("mutator `{name}` is replayed no more, and was in buckets of rule {was}"))
            }
            (was, now) => {
                found.push(format!("mutator `{name}` is replayed in buckets of rule {now}, and was in those of {was}"))
            }
        }
        let path = format!("arguments of `{name}`");
        let mut comparison = Comparison { reader: new, writer: old, path, seen: BTreeSet::new(), found: &mut found };
        comparison.accepts(&now["input"], &was["input"]);
    }
    for (name, was) in parts(old, "rules") {
        match part(new, "rules", name) {
            None => found.push(format!("rule `{name}` is gone")),
            Some(now) if now["params"] != was["params"] => {
                found.push(format!("rule `{name}` has other parameters, so its buckets have other names"));
            }
            // An installed client that knows how to ask for buckets asks for none of a rule that it knows as another's.
            Some(now) if was["onDemand"].is_null() && !now["onDemand"].is_null() => {
                found.push(format!("rule `{name}` is on demand now, and installed clients do not ask for its buckets"));
            }
            Some(_) => {}
        }
    }
    found
}

fn parts<'a>(document: &'a Value, of: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    document["x-nizhal"][of].as_object().into_iter().flatten()
}

fn part<'a>(document: &'a Value, of: &str, name: &str) -> Option<&'a Value> {
    document["x-nizhal"][of].get(name)
}

/// The beginning of a path that is in a row.
const ROWS: &str = "rows of ";

/// A comparison under way: whether `reader` takes all that `writer` may write.
struct Comparison<'a> {
    reader: &'a Value,
    writer: &'a Value,
    path: String,
    /// The pairs of references that were compared already: types may hold themselves.
    seen: BTreeSet<(String, String)>,
    found: &'a mut Vec<String>,
}

/// Limits where the reader's must not be above the writer's, and those where it must not be below.
const LEAST: [&str; 4] = ["minimum", "exclusiveMinimum", "minLength", "minItems"];
const UPPER_BOUNDS: [&str; 4] = ["maximum", "exclusiveMaximum", "maxLength", "maxItems"];
/// The keywords that must be the same where the reader has them.
const SAME: [&str; 6] = ["const", "pattern", "format", "multipleOf", "uniqueItems", "contentEncoding"];

impl Comparison<'_> {
    fn breaks(&mut self, what: &str) {
        self.found.push(format!("{}: {what}", self.path));
    }

    /// Whether the comparison finds nothing; for alternatives, where one that fits is enough.
    fn fits(&self, reader: &Value, writer: &Value) -> bool {
        let mut found = Vec::new();
        let (path, seen) = (String::new(), self.seen.clone());
        Comparison { reader: self.reader, writer: self.writer, path, seen, found: &mut found }.accepts(reader, writer);
        found.is_empty()
    }

    fn within(&mut self, name: &str, reader: &Value, writer: &Value) {
        let outer = self.path.len();
        self.path.push_str(&format!(", `{name}`"));
        self.accepts(reader, writer);
        self.path.truncate(outer);
    }

    fn accepts(&mut self, reader: &Value, writer: &Value) {
        if let (Some(one), Some(other)) = (reader["$ref"].as_str(), writer["$ref"].as_str())
            && !self.seen.insert((one.to_owned(), other.to_owned()))
        {
            return;
        }
        let (reader, writer) = (resolve(self.reader, reader), resolve(self.writer, writer));
        if reader == &Value::Bool(true) {
            return;
        }
        for each in reader["allOf"].as_array().into_iter().flatten() {
            self.accepts(each, writer);
        }
        if let Some(written) = alternatives(writer) {
            return written.iter().for_each(|one| self.accepts(reader, one));
        }
        if let Some(readable) = alternatives(reader) {
            if !readable.iter().any(|one| self.fits(one, writer)) {
                self.breaks("takes none of the alternatives any more");
            }
            return;
        }
        self.types(reader, writer);
        self.limits(reader, writer);
        self.properties(reader, writer);
        if let (Some(items), Some(written)) = (reader.get("items"), writer.get("items")) {
            self.within("[]", items, written);
        }
    }

    fn types(&mut self, reader: &Value, writer: &Value) {
        if let Some(readable) = types(reader) {
            let taken = |name: &String| readable.contains(name) || (name == "integer" && readable.contains("number"));
            let written = types(writer);
            if !written.as_ref().is_some_and(|written| written.iter().all(taken)) {
                let joined = |types: &BTreeSet<String>| types.iter().cloned().collect::<Vec<_>>().join(" or ");
                let other = written.as_ref().map_or_else(|| "anything".to_owned(), joined);
                self.breaks(&format!("{other} where {} is read", joined(&readable)));
            }
        }
        if let Some(readable) = reader["enum"].as_array() {
            let written = writer["enum"].as_array().cloned().or_else(|| Some(vec![writer.get("const")?.clone()]));
            if !written.is_some_and(|written| written.iter().all(|value| readable.contains(value))) {
                self.breaks("other values than those that are read");
            }
        }
    }

    fn limits(&mut self, reader: &Value, writer: &Value) {
        let beyond = |name: &str, is_outside: fn(f64, f64) -> bool| match (reader[name].as_f64(), writer[name].as_f64())
        {
            (None, _) => false,
            (Some(limit), written) => written.is_none_or(|written| is_outside(written, limit)),
        };
        let names = LEAST.iter().filter(|name| beyond(name, |written, limit| written < limit));
        let names = names.chain(UPPER_BOUNDS.iter().filter(|name| beyond(name, |written, limit| written > limit)));
        let differs = |name: &&&str| reader.get(**name).is_some_and(|value| writer.get(**name) != Some(value));
        let names: Vec<&str> = names.copied().chain(SAME.iter().filter(differs).copied()).collect();
        for name in names {
            self.breaks(&format!("a narrower or other `{name}`"));
        }
    }

    /// Why what is needed may be absent: rows are written by the new server and read by installed clients, arguments the other way.
    fn lack(&self, is_known: bool) -> &'static str {
        match (self.path.starts_with(ROWS), is_known) {
            (true, true) => "by installed clients, and may be absent now",
            (true, false) => "by installed clients, and gone",
            (false, true) => "and installed clients may leave it out",
            (false, false) => "and new: installed clients do not send it",
        }
    }

    fn properties(&mut self, reader: &Value, writer: &Value) {
        let required = |schema: &Value| -> BTreeSet<String> {
            let names = schema["required"].as_array().into_iter().flatten();
            names.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let given = required(writer);
        for name in required(reader) {
            if !given.contains(&name) {
                let is_known = writer["properties"].get(&name).is_some();
                self.breaks(&format!("`{name}` is needed, {}", self.lack(is_known)));
            }
        }
        let (readable, written) = (&reader["properties"], &writer["properties"]);
        for (name, schema) in readable.as_object().into_iter().flatten() {
            if let Some(other) = written.get(name) {
                self.within(name, schema, other);
            }
        }
        match &reader["additionalProperties"] {
            Value::Bool(false) => {
                for name in written.as_object().into_iter().flat_map(Map::keys) {
                    if readable.get(name).is_none() {
                        self.breaks(&format!("`{name}` is refused"));
                    }
                }
            }
            schema @ Value::Object(_) if writer["additionalProperties"].is_object() => {
                self.within("{}", schema, &writer["additionalProperties"]);
            }
            _ => {}
        }
    }
}

/// The schema itself where this is a reference to it.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..32 {
        let Some(path) = schema["$ref"].as_str() else { break };
        let Some(target) = document.pointer(path.trim_start_matches('#')) else { break };
        schema = target;
    }
    schema
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array())
}

fn types(schema: &Value) -> Option<BTreeSet<String>> {
    match &schema["type"] {
        Value::String(one) => Some([one.clone()].into()),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn contract(row: &Value, input: &Value) -> Value {
        json!({
            "components": {"schemas": {"Note": row, "AddNote": input, "Money": {"type": "string", "pattern": "^[0-9]+$"}}},
            "x-nizhal": {
                "tables": {"notes": {"primaryKey": ["id"], "merge": "field", "row": {"$ref": "#/components/schemas/Note"}}},
                "mutators": {"addNote": {"input": {"$ref": "#/components/schemas/AddNote"}}},
                "rules": {"mine": {"params": [{"name": "owner", "type": "text"}], "tables": ["notes"], "onDemand": null}},
            },
        })
    }

    fn object(properties: &Value, required: &[&str]) -> Value {
        json!({"type": "object", "properties": properties, "required": required})
    }

    fn old() -> Value {
        let row = object(&json!({"id": {"type": "string"}, "n": {"type": ["integer", "null"]}}), &["id", "n"]);
        let input = object(&json!({"id": {"type": "string"}, "n": {"type": "integer", "maximum": 9}}), &["id"]);
        contract(&row, &input)
    }

    /// The old contract with one value of it changed.
    fn with(pointer: &str, value: Value) -> Value {
        let mut changed = old();
        *changed.pointer_mut(pointer).expect(pointer) = value;
        changed
    }

    /// The old contract, with a mutator that is replayed in buckets of this rule.
    fn replayed(rule: &str) -> Value {
        let mut changed = old();
        changed["x-nizhal"]["mutators"]["addNote"]["replay"] = json!({"rule": rule});
        changed
    }

    fn row(name: &str) -> String {
        format!("/components/schemas/Note/{name}")
    }

    fn input(name: &str) -> String {
        format!("/components/schemas/AddNote/{name}")
    }

    #[test]
    fn additive_changes_break_nothing() {
        assert_eq!(breaks(&old(), &old()), Vec::<String>::new());
        let more = json!({"id": {"type": "string"}, "n": {"type": "integer"}, "more": {"type": "string"}});
        let additive = [
            with(&row("properties"), more.clone()),
            with(&input("properties"), more),
            with(&input("properties/n"), json!({"type": ["number", "null"]})),
            with(&input("required"), json!([])),
            with(&input("properties/id"), json!({"anyOf": [{"type": "string"}, {"type": "integer"}]})),
            with("/x-nizhal/tables/notes/merge", "lww".into()),
            with(
                "/x-nizhal/mutators",
                json!({"addNote": {"input": {"$ref": "#/components/schemas/AddNote"}}, "new": {}}),
            ),
        ];
        for new in additive {
            assert_eq!(breaks(&old(), &new), Vec::<String>::new(), "{new}");
        }
    }

    #[test]
    fn inv34_every_break_is_named() {
        let money = json!({"$ref": "#/components/schemas/Money"});
        let breaking = [
            (with("/x-nizhal/tables", json!({})), "table `notes` is synced no more"),
            (with("/x-nizhal/tables/notes/primaryKey", json!(["id", "n"])), "primary key was [\"id\"]"),
            (
                with(&row("properties/id"), json!({"type": ["string", "null"]})),
                "rows of `notes`, `id`: null or string where string",
            ),
            (with(&row("properties/n"), json!({"type": "number"})), "rows of `notes`, `n`: number where"),
            (with(&row("required"), json!(["id"])), "rows of `notes`: `n` is needed"),
            (with("/x-nizhal/mutators", json!({})), "mutator `addNote` is gone"),
            (with(&input("required"), json!(["id", "n"])), "arguments of `addNote`: `n` is needed"),
            (
                with(&input("properties/n"), json!({"type": "integer", "maximum": 8})),
                "`n`: a narrower or other `maximum`",
            ),
            (with(&input("properties/id"), money), "`id`: a narrower or other `pattern`"),
            (with(&input("properties/id"), json!({"enum": ["a"]})), "`id`: other values"),
            (
                with(&input("properties/id"), json!({"oneOf": [{"type": "integer"}]})),
                "`id`: takes none of the alternatives",
            ),
            (with("/x-nizhal/rules", json!({})), "rule `mine` is gone"),
            (with("/x-nizhal/rules/mine/params", json!([])), "rule `mine` has other parameters"),
            (with("/x-nizhal/tables/notes/merge", "replay".into()), "`notes`: merge was \"field\", is \"replay\""),
            (replayed("mine"), "`addNote` is replayed in buckets of rule \"mine\", and was not"),
            (with("/x-nizhal/rules/mine/onDemand", json!({"ttlSeconds": 60})), "rule `mine` is on demand now"),
        ];
        for (new, wanted) in breaking {
            let found = breaks(&old(), &new);
            assert!(found.len() == 1 && found[0].contains(wanted), "{wanted}: {found:?}");
        }
        for (was, now, wanted) in [
            (replayed("mine"), old(), "mutator `addNote` is replayed no more, and was in buckets of rule \"mine\""),
            (
                replayed("mine"),
                replayed("all"),
                "mutator `addNote` is replayed in buckets of rule \"all\", and was in those of \"mine\"",
            ),
        ] {
            assert_eq!(breaks(&was, &now), [wanted]);
        }
        let mut gone = with(&row("required"), json!(["id"]));
        gone["components"]["schemas"]["Note"]["properties"].as_object_mut().unwrap().remove("n");
        assert_eq!(breaks(&old(), &gone), ["rows of `notes`: `n` is needed, by installed clients, and gone"]);
        let added = with(&input("required"), json!(["id", "email"]));
        assert_eq!(
            breaks(&old(), &added),
            ["arguments of `addNote`: `email` is needed, and new: installed clients do not send it"]
        );
        let mut strict = old();
        strict["components"]["schemas"]["AddNote"]["additionalProperties"] = false.into();
        strict["components"]["schemas"]["AddNote"]["properties"].as_object_mut().unwrap().remove("n");
        assert_eq!(breaks(&old(), &strict), ["arguments of `addNote`: `n` is refused"]);
    }

    #[test]
    fn types_that_hold_themselves_end() {
        let tree = json!({"type": "object", "properties": {"child": {"$ref": "#/components/schemas/AddNote"}}});
        let (one, mut other) = (contract(&json!({}), &tree), contract(&json!({}), &tree));
        assert_eq!(breaks(&one, &other), Vec::<String>::new());
        other["components"]["schemas"]["AddNote"]["required"] = json!(["child"]);
        assert_eq!(breaks(&one, &other).len(), 1);
    }
}
