//! Schema to document: rows, mutator inputs, and the `x-nizhal` part that generators read.

use super::paths::paths;
use crate::schema::Schema;
use nizhal_core::{ColumnDefault, ColumnDesc, DEFAULT_PRIORITY, Rule, SqlType, TableDesc};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

pub(super) fn document(app: &str, version: &str, schema: &Schema) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let inputs: Vec<(&str, Value)> = (schema.mutators().into_iter())
        .map(|entry| (entry.desc.name, (entry.schema)(&mut generator).to_value()))
        .collect();
    let rows: Vec<Value> = schema.synced().into_iter().map(|table| row(table, &mut generator)).collect();
    let mut schemas: Map<String, Value> = generator.take_definitions(true);
    schemas.insert("Error".to_owned(), error_schema());
    let mut tables = Map::new();
    for (table, row) in schema.synced().into_iter().zip(rows) {
        let name = insert(&mut schemas, table.name, "Row", row);
        tables.insert(table.name.to_owned(), table_part(table, schema.rules(), &name));
    }
    let mut mutators = Map::new();
    for (entry, (_, input)) in schema.mutators().into_iter().zip(inputs) {
        let name = insert(&mut schemas, entry.desc.name, "Input", input);
        // What is not the server's alone is deterministic by construction: time, ids and data come from its context.
        let mut part = json!({"input": reference(&name), "replayable": !entry.desc.server, "privileged": entry.desc.privileged, "description": entry.desc.doc.trim()});
        if let Some(rule) = entry.desc.replay {
            part["replay"] = json!({"rule": rule});
        }
        mutators.insert(entry.desc.name.to_owned(), part);
    }
    let rules: Map<String, Value> = schema.rules().iter().map(|rule| (rule.name.to_owned(), rule_part(rule))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": app, "version": version},
        "jsonSchemaDialect": DIALECT,
        "security": [{"bearer": []}],
        "paths": paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "admin": {"type": "http", "scheme": "basic"},
            },
        },
        "x-nizhal": {"tables": tables, "mutators": mutators, "rules": rules},
    })
}

/// Inserts under the name, or where an app's type has taken it under the name with a suffix.
fn insert(schemas: &mut Map<String, Value>, name: &str, suffix: &str, schema: Value) -> String {
    let mut name = name.to_owned();
    while schemas.contains_key(&name) {
        name.push_str(suffix);
    }
    schemas.insert(name.clone(), schema);
    name
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn error_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"error": {"type": "string"}, "code": {"type": "string"}},
        "required": ["error", "code"],
    })
}

/// The columns that devices see.
fn shown(table: &TableDesc) -> impl Iterator<Item = &'static ColumnDesc> {
    table.columns.iter().filter(|column| !column.private)
}

fn row(table: &TableDesc, generator: &mut SchemaGenerator) -> Value {
    let mut properties = Map::new();
    for column in shown(table) {
        let mut schema = value_schema(column, generator);
        if !column.doc.trim().is_empty() {
            schema["description"] = column.doc.trim().into();
        }
        properties.insert(column.name.to_owned(), schema);
    }
    for (name, nullable) in [("updated_at", false), ("deleted_at", true)] {
        properties.entry(name).or_insert_with(|| or_null(SqlType::Timestamptz.json_schema(), nullable));
    }
    let required: Vec<&String> = properties.keys().collect();
    let mut schema = json!({"type": "object", "required": required, "properties": properties});
    if !table.doc.trim().is_empty() {
        schema["description"] = table.doc.trim().into();
    }
    schema
}

/// What a column holds: as its SQL type has it, or as its own type says.
fn value_schema(column: &ColumnDesc, generator: &mut SchemaGenerator) -> Value {
    let mut schema = match column.schema {
        Some(own) => own(generator).to_value(),
        None => column.sql.json_schema(),
    };
    // A schema that is `true` takes no description.
    if schema == Value::Bool(true) {
        schema = json!({});
    }
    if !column.texts.is_empty() {
        schema["enum"] = json!(column.texts);
    }
    or_null(schema, column.nullable)
}

/// Any JSON is null already; a plain type says so beside it, and all else is an alternative.
fn or_null(mut schema: Value, nullable: bool) -> Value {
    if !nullable || schema.as_object().is_none_or(Map::is_empty) {
        return schema;
    }
    if let Some(plain) = schema["type"].as_str().map(str::to_owned) {
        schema["type"] = json!([plain, "null"]);
        if let Some(texts) = schema["enum"].as_array_mut() {
            texts.push(Value::Null);
        }
        return schema;
    }
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn table_part(table: &TableDesc, rules: &[Rule], row: &str) -> Value {
    let columns: Vec<Value> = shown(table).map(column_part).collect();
    let key: Vec<&str> = table.key_columns().filter(|column| !column.private).map(|column| column.name).collect();
    let mut buckets = Vec::new();
    for rule in rules {
        for synced in rule.tables.iter().filter(|synced| synced.table.name == table.name) {
            let scope = synced.scope.iter().map(|&at| &table.columns[at]).filter(|column| !column.private);
            buckets.push(json!({"rule": rule.name, "columns": scope.map(|column| column.name).collect::<Vec<_>>()}));
        }
    }
    json!({
        "primaryKey": key,
        "columns": columns,
        "merge": table.merge.as_str(),
        "buckets": buckets,
        "row": reference(row),
    })
}

fn column_part(column: &'static ColumnDesc) -> Value {
    let mut part = json!({"name": column.name, "type": column.sql.postgres(), "nullable": column.nullable});
    if let Some(kind) = column.crdt {
        part["merge"] = "crdt".into();
        part["crdt"] = kind.as_str().into();
        if let Some(root) = column.crdt_root {
            part["crdtRoot"] = root.into();
        }
    }
    if column.blob {
        part["blob"] = true.into();
    }
    if !column.texts.is_empty() {
        part["values"] = json!(column.texts);
    }
    if column.generated.is_some() {
        part["generated"] = true.into();
    }
    if column.unique {
        part["unique"] = true.into();
    }
    if let Some(default) = column.default {
        part["default"] = match default {
            ColumnDefault::Now => json!({"now": true}),
            ColumnDefault::Text(text) => text.into(),
            ColumnDefault::Int(number) => number.into(),
            ColumnDefault::Bool(yes) => yes.into(),
        };
    }
    part
}

fn rule_part(rule: &Rule) -> Value {
    let params: Vec<Value> =
        rule.params.iter().map(|param| json!({"name": param.name, "type": param.sql.postgres()})).collect();
    let mut tables: Vec<&str> = rule.tables.iter().map(|synced| synced.table.name).collect();
    tables.dedup();
    let mut part = json!({"params": params, "tables": tables, "description": rule.doc.trim()});
    if rule.public {
        part["public"] = true.into();
    }
    if let Some(most) = rule.max_buckets {
        part["maxBuckets"] = most.into();
    }
    if rule.priority != DEFAULT_PRIORITY {
        part["priority"] = rule.priority.into();
    }
    if let Some(on_demand) = &rule.on_demand {
        part["onDemand"] = json!({"ttlSeconds": on_demand.ttl_s});
    }
    part
}
