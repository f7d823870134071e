//! A contract to one TypeScript file: rows, arguments, tables, and factories that know them.

use super::schema::{Components, comment, field};
use serde_json::{Map, Value, json};

/// The file's text; the same contract always gives the same bytes.
pub(crate) fn typescript(contract: &Value) -> String {
    let none = Map::new();
    let object = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let components = Components(contract["components"]["schemas"].as_object().unwrap_or(&none));
    let tables = object(&contract["x-nizhal"]["tables"]);
    let mutators = object(&contract["x-nizhal"]["mutators"]);
    let (title, version) = (text(&contract["info"]["title"]), text(&contract["info"]["version"]));
    let mut out =
        format!("// Written by `nizhal gen ts` from the contract of {title} {version}. Not to be edited.\n{IMPORTS}");
    for (name, table) in &tables {
        let of = components.target(&table["row"]).unwrap_or(&table["row"]);
        out.push_str(&format!(
            "\n{}export interface {} {}\n",
            comment(of["description"].as_str(), 0),
            row(name),
            components.object(of, 0)
        ));
    }
    out.push_str("\n/** A row of each table. */\nexport type Tables = {\n");
    tables.keys().for_each(|name| out.push_str(&format!("  {}: {}\n", field(name), row(name))));
    out.push_str("}\n");
    for (name, mutator) in &mutators {
        let doc = comment(mutator["description"].as_str(), 0);
        out.push_str(&format!("\n{doc}export interface {} {}\n", args(name), components.object(&mutator["input"], 0)));
    }
    out.push_str("\n/** What each mutator takes. */\nexport type MutatorArgs = {\n");
    mutators.keys().for_each(|name| out.push_str(&format!("  {}: {}\n", field(name), args(name))));
    out.push_str("}\n");
    out.push_str(&format!(
        "\n/** The tables as the server describes them. */\nexport const schema: Schema = {}\n",
        pretty(&schema(contract, &tables, &mutators))
    ));
    out.push_str(FACTORIES);
    for name in tables.keys() {
        let made = format!("{}Collection", camel(name));
        out.push_str(&format!(
            "\n/** Options of a collection over `{name}`. */\nexport function {made}(client: NizhalClient, options: CollectionOptions<{of}> = {{}}) {{\n  \
             return nizhalCollectionOptions<{of}>({{ ...options, client, name: {quoted} }})\n}}\n",
            of = row(name),
            quoted = single(name),
        ));
    }
    out
}

const IMPORTS: &str = "\
import { createNizhalClient, createNizhalMutators } from '@nizhal/db-collection'
import type { MutatorBodies, NizhalClient, NizhalClientOptions, Schema } from '@nizhal/db-collection'
import { nizhalCollectionOptions, type NizhalCollectionConfig } from '@nizhal/db-collection/tanstack'

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
// A contract need not use every type.
export type { Json }
";

const FACTORIES: &str = "
/** A client that knows the tables. */
export function createClient(options: Omit<NizhalClientOptions, 'schema'>): NizhalClient {
  return createNizhalClient({ ...options, schema })
}

/** The mutators, typed; each body says what its write will probably do. */
export function createMutators(client: NizhalClient, bodies: MutatorBodies<MutatorArgs, Tables>) {
  return createNizhalMutators<MutatorArgs, Tables>(client, bodies)
}

type CollectionOptions<Row extends object> = Omit<NizhalCollectionConfig<Row>, 'client' | 'name'>
";

/// What the client needs at run time.
fn schema(contract: &Value, tables: &Map<String, Value>, mutators: &Map<String, Value>) -> Value {
    let tables: Map<String, Value> = (tables.iter())
        .map(|(name, table)| {
            let part = json!({"primaryKey": table["primaryKey"], "columns": columns(&table["columns"]), "buckets": table["buckets"]});
            (name.clone(), part)
        })
        .collect();
    let rules = contract["x-nizhal"]["rules"].as_object();
    let on_demand: Map<String, Value> = (rules.into_iter().flatten())
        .filter(|(_, rule)| rule["onDemand"].is_object())
        .map(|(name, rule)| {
            (name.clone(), json!({"params": rule["params"], "ttlSeconds": rule["onDemand"]["ttlSeconds"]}))
        })
        .collect();
    let replayed: Vec<&String> =
        mutators.iter().filter(|(_, mutator)| mutator["replay"].is_object()).map(|(name, _)| name).collect();
    let names: Vec<&String> = mutators.keys().collect();
    let mut schema = json!({
        "version": contract["info"]["version"], "hash": contract["x-nizhal"]["hash"], "tables": tables, "mutators": names,
    });
    if !replayed.is_empty() {
        schema["replayed"] = json!(replayed);
    }
    if !on_demand.is_empty() {
        schema["onDemand"] = on_demand.into();
    }
    schema
}

fn columns(columns: &Value) -> Vec<Value> {
    let kept = ["name", "type", "nullable", "default", "blob"];
    let column = |column: &Value| {
        let fields = column.as_object().into_iter().flatten().filter(|(name, _)| kept.contains(&name.as_str()));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    columns.as_array().into_iter().flatten().map(column).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn row(table: &str) -> String {
    format!("{}Row", pascal(table))
}

fn args(mutator: &str) -> String {
    format!("{}Args", pascal(mutator))
}

fn pascal(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

fn camel(name: &str) -> String {
    let pascal = pascal(name);
    pascal.get(..1).map_or_else(String::new, |first| first.to_ascii_lowercase() + &pascal[1..])
}

fn single(name: &str) -> String {
    format!("'{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples' pages are built from these files; when a contract changes, they must too.
    #[test]
    fn the_committed_examples_are_what_their_contracts_say() {
        for (folder, contract, committed) in [
            (
                "examples/credit-ledger",
                include_str!("../../../examples/credit-ledger/nizhal.contract.json"),
                include_str!("../../../examples/credit-ledger/web/src/nizhal.ts"),
            ),
            (
                "examples/clinic",
                include_str!("../../../examples/clinic/nizhal.contract.json"),
                include_str!("../../../examples/clinic/web/src/nizhal.ts"),
            ),
        ] {
            let fresh = typescript(&serde_json::from_str(contract).unwrap());
            assert!(
                fresh == committed,
                "run `cargo run -p nizhal-cli -- gen ts --from {folder}/nizhal.contract.json --out {folder}/web/src/nizhal.ts`"
            );
        }
    }

    #[test]
    fn the_client_is_told_what_is_replayed_and_what_comes_on_demand() {
        let ttl = json!({"ttlSeconds": 3600});
        let params = json!([{"name": "shop", "type": "text"}]);
        let contract = json!({"x-nizhal": {
            "tables": {},
            "mutators": {"take": {"replay": {"rule": "shops"}}, "put": {}},
            "rules": {"shops": {"params": params}, "notes": {"params": params, "onDemand": ttl}},
        }});
        let text = typescript(&contract);
        let (_, schema) = text.split_once("export const schema: Schema = ").unwrap();
        let schema: Value = serde_json::Deserializer::from_str(schema).into_iter().next().unwrap().unwrap();
        assert_eq!(schema["replayed"], json!(["take"]));
        assert_eq!(schema["onDemand"], json!({"notes": {"params": params, "ttlSeconds": 3600}}));
    }

    #[test]
    fn names_of_tables_and_mutators() {
        assert_eq!(
            (row("ledger_entries"), args("addCustomer")),
            ("LedgerEntriesRow".to_owned(), "AddCustomerArgs".to_owned())
        );
        assert_eq!((camel("shop-2_members"), single("it's")), ("shop2Members".to_owned(), "'it\\'s'".to_owned()));
    }
}
