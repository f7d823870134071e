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
        "object" if is_blob(schema) => crate::blobs::drawn(draw.random),
        "object" => object(schema, definitions, draw),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let items = schema.get("items").cloned().unwrap_or(Value::Null);
            let count = least + draw.random.below(3);
            (0..count).map(|_| value(name, &items, definitions, draw)).collect()
        }
        "boolean" => json!(draw.one_in(2)),
        "integer" => json!(number(schema, draw)),
        "number" if is_decimal(schema) => json!(decimal(schema, draw)),
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

/// Whether it is a reference to a blob: an object with these three fields is one for everybody.
fn is_blob(schema: &Value) -> bool {
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.is_some_and(|fields| ["sha256", "size", "mime"].iter().all(|name| fields.contains_key(*name)))
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

/// Whether a text of it is a number: a format says so, or that it may be a number too.
fn is_decimal(schema: &Value) -> bool {
    let both = schema.get("type").and_then(Value::as_array).is_some_and(|kinds| kinds.contains(&json!("number")));
    both || schema.get("format").and_then(Value::as_str) == Some("decimal")
}

fn decimal(schema: &Value, draw: &mut Draw<'_>) -> String {
    let fraction = draw.random.below(100);
    let whole = if schema.get("minimum").or(schema.get("exclusiveMinimum")).or(schema.get("maximum")).is_some() {
        number(schema, draw)
    } else {
        1 + i64::try_from(draw.random.below(40)).unwrap_or(0)
    };
    if schema.get("maximum").or(schema.get("exclusiveMaximum")).is_some() {
        return whole.to_string();
    }
    format!("{whole}.{fraction:02}")
}

fn number(schema: &Value, draw: &mut Draw<'_>) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "bounds beyond 64 bits are none")]
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64).map(|bound| bound as i64);
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least.saturating_add(1)));
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|most| most.saturating_sub(1)));
    // Near zero where that is allowed.
    let near = |most: i64| most.saturating_sub(9).min(-9);
    let least = match (least, most) {
        (Some(least), most) => least.max(most.map_or(-9, near)),
        (None, Some(most)) if most < 0 => near(most),
        (None, _) => 0,
    };
    let room = most.map_or(9, |most| most.saturating_sub(least).clamp(0, 9));
    let step = bound("multipleOf").filter(|step| *step > 1).unwrap_or(1);
    let drawn = least + i64::try_from(draw.random.below(room.unsigned_abs() + 1)).unwrap_or(0);
    let fits = drawn - drawn.rem_euclid(step);
    if fits < least { fits + step } else { fits }
}

/// A UUID that nobody has, made of a fresh id alone.
fn fresh_uuid(fresh: &str) -> String {
    let mut random = Random::of(fresh);
    let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid().to_string()
}

/// The text in the length that the schema wants.
fn fit(text: &str, schema: &Value) -> String {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    let least = bound("minLength").unwrap_or(0);
    let length = text.chars().count().max(least).min(bound("maxLength").unwrap_or(usize::MAX));
    text.chars().chain(std::iter::repeat('x')).take(length).collect()
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
        "partial-date-time" => return time.format("%Y-%m-%dT%H:%M:%S%.f").to_string(),
        "date" => return time.format("%Y-%m-%d").to_string(),
        // With and without a fraction.
        "time" | "partial-time" if draw.one_in(2) => return time.format("%H:%M:%S%.6f").to_string(),
        "time" | "partial-time" => return time.format("%H:%M:%S").to_string(),
        "decimal" => return decimal(schema, draw),
        "int64" => return draw.random.below(10).to_string(),
        _ if is_decimal(schema) => return decimal(schema, draw),
        _ => {}
    }
    let is_uuid = format == "uuid";
    let fresh = if is_uuid { fresh_uuid(&draw.fresh) } else { draw.fresh.clone() };
    let usable = |id: &&String| !is_uuid || uuid::Uuid::parse_str(id).is_ok();
    let lower = name.to_lowercase();
    let own = matches!(lower.as_str(), "id" | "clientid");
    if own && !draw.one_in(10) {
        return fit(&fresh, schema);
    }
    if own || lower.ends_with("id") || lower.ends_with("ids") || is_uuid {
        let plain = |name: &str| name.replace('_', "").to_lowercase();
        let of_column = draw.values.iter().find(|(column, values)| plain(column) == plain(name) && !values.is_empty());
        let values: Vec<&String> = of_column.into_iter().flat_map(|(_, values)| values).filter(usable).collect();
        if !own && !values.is_empty() {
            return (*draw.pick(&values)).clone();
        }
        let stem = lower.trim_end_matches('s').trim_end_matches("id").trim_end_matches('_').to_owned();
        let near = |table: &&&'static str| !stem.is_empty() && table.replace('_', "").contains(&stem.replace('_', ""));
        let named: Vec<&'static str> = draw.ids.keys().filter(near).copied().collect();
        let tables = if own || named.is_empty() { draw.ids.keys().copied().collect() } else { named };
        let all = tables.iter().filter_map(|table| draw.ids.get(table)).flatten();
        let all: Vec<&String> = all.filter(usable).collect();
        if all.is_empty() { fit(&fresh, schema) } else { (*draw.pick(&all)).clone() }
    } else {
        fit(&format!("text {}", draw.random.below(6)), schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws many values of a schema.
    fn drawn(name: &str, schema: &Value, ids: &[&str]) -> Vec<Value> {
        let ids = BTreeMap::from([("things", ids.iter().map(|id| (*id).to_owned()).collect())]);
        let (values, mut random) = (BTreeMap::new(), Random::of("drawn"));
        (0..100)
            .map(|at| {
                let fresh = format!("n{at}");
                let mut draw =
                    Draw { random: &mut random, ids: &ids, values: &values, fresh, now_ms: 1_764_000_000_123 };
                value(name, schema, &Map::new(), &mut draw)
            })
            .collect()
    }

    #[test]
    fn values_fit_their_formats() {
        type Fits = fn(&str) -> bool;
        let texts: [(&str, Value, Fits); 8] = [
            ("id", json!({"type": "string", "format": "uuid"}), |text| uuid::Uuid::parse_str(text).is_ok()),
            ("thingId", json!({"type": "string", "format": "uuid"}), |text| uuid::Uuid::parse_str(text).is_ok()),
            ("at", json!({"type": "string", "format": "partial-time"}), |text| {
                text.parse::<chrono::NaiveTime>().is_ok()
            }),
            ("day", json!({"type": "string", "format": "date"}), |text| text.parse::<chrono::NaiveDate>().is_ok()),
            ("when", json!({"type": "string", "format": "date-time"}), |text| {
                chrono::DateTime::parse_from_rfc3339(text).is_ok()
            }),
            ("name", json!({"type": "string", "minLength": 12, "maxLength": 14}), |text| {
                (12..=14).contains(&text.len())
            }),
            ("code", json!({"type": "string", "maxLength": 3}), |text| text.len() <= 3),
            ("kind", json!({"enum": ["a", "b"]}), |text| ["a", "b"].contains(&text)),
        ];
        for (name, schema, fits) in texts {
            for value in drawn(name, &schema, &["no uuid", "01234567-89ab-cdef-0123-456789abcdef"]) {
                assert!(value.as_str().is_some_and(fits), "{schema}: {value}");
            }
        }
        let positive = json!({"type": ["number", "string"], "exclusiveMinimum": 0, "pattern": "^[0-9]+(\\.[0-9]+)?$"});
        let numbers: [(Value, std::ops::RangeInclusive<f64>); 5] = [
            (positive, 0.001..=99.0),
            (json!({"type": "integer", "minimum": 3, "maximum": 4}), 3.0..=4.0),
            (json!({"type": "integer", "exclusiveMinimum": -3, "exclusiveMaximum": 0}), -2.0..=-1.0),
            (json!({"type": "integer", "maximum": -1000}), -2000.0..=-1000.0),
            (json!({"type": "integer", "minimum": 10, "maximum": 30, "multipleOf": 10}), 10.0..=30.0),
        ];
        for (schema, fits) in numbers {
            for value in drawn("amount", &schema, &[]) {
                let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
                assert!(number.is_some_and(|number| fits.contains(&number)), "{schema}: {value}");
            }
        }
    }

    #[test]
    fn ids_are_fresh_or_of_rows_that_are_there() {
        let id = "01234567-89ab-cdef-0123-456789abcdef";
        let schema = json!({"type": "string", "format": "uuid"});
        assert!(drawn("thingId", &schema, &[id, "no uuid"]).iter().all(|value| value == id));
        let own = drawn("id", &schema, &[id]);
        assert!(own.iter().filter(|value| *value == id).count() < 30);
        assert_eq!(own[0], drawn("id", &schema, &[id])[0], "made of the draw alone");
    }
}
