//! Arguments drawn from a mutator's JSON schema.

use nizhal_core::Random;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What arguments are drawn from.
#[derive(Debug)]
pub struct Draw<'a> {
    /// Chance.
    pub random: &'a mut Random,
    /// The ids that the device has, by table.
    pub ids: &'a BTreeMap<&'static str, Vec<String>>,
    /// The values that columns named `…_id` have on the device, by the column's name.
    pub values: &'a BTreeMap<&'static str, Vec<String>>,
    /// An id that nobody has.
    pub fresh: String,
    /// The device's time in milliseconds since 1970.
    pub now_ms: i64,
}

impl Draw<'_> {
    /// The id of a row that the device has in this table; `None` when it has none.
    pub fn id(&mut self, table: &str) -> Option<String> {
        let ids = self.ids.get(table).filter(|ids| !ids.is_empty())?;
        Some(self.pick(ids).clone())
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        let at = self.random.below(from.len() as u64);
        &from[usize::try_from(at).unwrap_or(0)]
    }

    /// Whether it happens, once in so many times.
    pub fn one_in(&mut self, of: u64) -> bool {
        self.random.below(of) == 0
    }
}

/// Arguments that fit the schema, whose definitions are given apart.
pub(crate) fn args(schema: &Value, definitions: &Map<String, Value>, draw: &mut Draw<'_>) -> Value {
    value("", schema, definitions, draw)
}

fn value(name: &str, schema: &Value, definitions: &Map<String, Value>, draw: &mut Draw<'_>) -> Value {
    if let Some(constant) = schema.get("const") {
        return constant.clone();
    }
    if let Some(texts) = schema.get("enum").and_then(Value::as_array) {
        return draw.pick(texts).clone();
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let named = reference.rsplit('/').next().unwrap_or_default();
        return definitions.get(named).map_or(Value::Null, |schema| value(name, schema, definitions, draw));
    }
    for any in ["anyOf", "oneOf", "allOf"] {
        if let Some(branches) = schema.get(any).and_then(Value::as_array).filter(|branches| !branches.is_empty()) {
            let branch = draw.pick(branches).clone();
            return value(name, &branch, definitions, draw);
        }
    }
    match kind(schema, draw).as_str() {
        "object" => object(schema, definitions, draw),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let items = schema.get("items").cloned().unwrap_or(Value::Null);
            let count = least + draw.random.below(3);
            (0..count).map(|_| value(name, &items, definitions, draw)).collect()
        }
        "boolean" => json!(draw.one_in(2)),
        "integer" => json!(number(schema, draw)),
        "number" if is_decimal(schema) => json!(decimal(draw)),
        "number" => json!(number(schema, draw)),
        "string" => json!(text(name, schema, draw)),
        _ => Value::Null,
    }
}

/// One of the types that the schema allows; null less often than the rest.
fn kind(schema: &Value, draw: &mut Draw<'_>) -> String {
    match schema.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            let some: Vec<&str> = kinds.iter().copied().filter(|kind| *kind != "null").collect();
            if some.is_empty() || (kinds.len() > some.len() && draw.one_in(3)) {
                return "null".to_owned();
            }
            (*draw.pick(&some)).to_owned()
        }
        _ if schema.get("properties").is_some() => "object".to_owned(),
        _ => "null".to_owned(),
    }
}

fn object(schema: &Value, definitions: &Map<String, Value>, draw: &mut Draw<'_>) -> Value {
    let mut made = Map::new();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, schema) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if required.contains(&name.as_str()) || !draw.one_in(3) {
            made.insert(name.clone(), value(name, schema, definitions, draw));
        }
    }
    Value::Object(made)
}

fn is_decimal(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("decimal")
}

fn decimal(draw: &mut Draw<'_>) -> String {
    format!("{}.{:02}", 1 + draw.random.below(40), draw.random.below(100))
}

fn number(schema: &Value, draw: &mut Draw<'_>) -> i64 {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    #[expect(clippy::cast_possible_truncation, reason = "bounds of small numbers")]
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0)).map_or(0, |least| least as i64);
    #[expect(clippy::cast_possible_truncation, reason = "bounds of small numbers")]
    let most = bound("maximum").map_or(i64::MAX, |most| most as i64);
    let room = most.saturating_sub(least.max(-9)).clamp(0, 9);
    least.max(-9) + i64::try_from(draw.random.below(room.unsigned_abs() + 1)).unwrap_or(0)
}

fn text(name: &str, schema: &Value, draw: &mut Draw<'_>) -> String {
    let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
    if schema.get("contentEncoding").is_some() {
        // The update of an empty Yjs document, which is some bytes too.
        return "AAA=".to_owned();
    }
    let day = draw.now_ms + i64::try_from(draw.random.below(10)).unwrap_or(0) * 86_400_000;
    let time = chrono::DateTime::from_timestamp_millis(day).unwrap_or_default();
    match format {
        "date-time" => return time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "date" => return time.format("%Y-%m-%d").to_string(),
        "time" => return time.format("%H:%M:%S").to_string(),
        "decimal" => return decimal(draw),
        "int64" => return draw.random.below(10).to_string(),
        _ => {}
    }
    let lower = name.to_lowercase();
    let own = matches!(lower.as_str(), "id" | "clientid");
    if own && !draw.one_in(10) {
        return draw.fresh.clone();
    }
    if own || lower.ends_with("id") || lower.ends_with("ids") || format == "uuid" {
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let of_column = draw.values.iter().find(|(column, values)| plain(column) == plain(name) && !values.is_empty());
        if let Some((_, values)) = of_column.filter(|_| !own) {
            return draw.pick(values).clone();
        }
        let stem = lower.trim_end_matches('s').trim_end_matches("id").trim_end_matches('_').to_owned();
        let near = |table: &&&'static str| !stem.is_empty() && table.replace('_', "").contains(&stem.replace('_', ""));
        let named: Vec<&'static str> = draw.ids.keys().filter(near).copied().collect();
        let tables = if own || named.is_empty() { draw.ids.keys().copied().collect() } else { named };
        let all: Vec<&String> = tables.iter().filter_map(|table| draw.ids.get(table)).flatten().collect();
        if all.is_empty() { draw.fresh.clone() } else { (*draw.pick(&all)).clone() }
    } else {
        format!("text {}", draw.random.below(6))
    }
}
