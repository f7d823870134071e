//! JSON Schema, as far as contracts use it, to TypeScript types.

use serde_json::{Map, Value};

/// The components that types may refer to.
pub(super) struct Components<'a>(pub(super) &'a Map<String, Value>);

impl<'a> Components<'a> {
    /// The type that a schema describes; `indent` is that of the line it stands in.
    pub(super) fn type_of(&self, schema: &Value, indent: usize) -> String {
        if let Some(target) = self.target(schema) {
            return self.type_of(target, indent);
        }
        if let Some(value) = schema.get("const") {
            return value.to_string();
        }
        if let Some(values) = schema["enum"].as_array() {
            return union(values.iter().map(Value::to_string));
        }
        for word in ["anyOf", "oneOf"] {
            if let Some(options) = schema[word].as_array() {
                return union(options.iter().map(|option| self.type_of(option, indent)));
            }
        }
        match &schema["type"] {
            Value::String(name) => self.named(name, schema, indent),
            Value::Array(names) => {
                union(names.iter().filter_map(Value::as_str).map(|name| self.named(name, schema, indent)))
            }
            _ => "Json".to_owned(),
        }
    }

    fn named(&self, name: &str, schema: &Value, indent: usize) -> String {
        match name {
            "integer" | "number" => "number".to_owned(),
            "string" | "boolean" | "null" => name.to_owned(),
            "array" => {
                let item = schema.get("items").map_or_else(|| "Json".to_owned(), |items| self.type_of(items, indent));
                if item.contains(" | ") { format!("({item})[]") } else { format!("{item}[]") }
            }
            "object" if schema["properties"].is_object() => self.object(schema, indent),
            "object" => match schema.get("additionalProperties") {
                Some(values) if values.is_object() => format!("Record<string, {}>", self.type_of(values, indent)),
                _ => "Record<string, Json>".to_owned(),
            },
            _ => "Json".to_owned(),
        }
    }

    /// An object type's braces and members.
    pub(super) fn object(&self, schema: &Value, indent: usize) -> String {
        let schema = self.target(schema).unwrap_or(schema);
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let pad = " ".repeat(indent + 2);
        let mut text = "{\n".to_owned();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            text.push_str(&comment(property["description"].as_str(), indent + 2));
            let optional = if required.contains(&name.as_str()) { "" } else { "?" };
            let of = self.type_of(property, indent + 2);
            text.push_str(&format!("{pad}{}{optional}: {of}\n", field(name)));
        }
        text + &" ".repeat(indent) + "}"
    }

    /// What a reference refers to in the end; `None` when the schema is none, or leads nowhere.
    pub(super) fn target(&self, schema: &Value) -> Option<&'a Value> {
        let next = |schema: &Value| self.0.get(schema["$ref"].as_str()?.strip_prefix("#/components/schemas/")?);
        let mut found = next(schema)?;
        // A chain longer than the components goes in a circle.
        for _ in 0..self.0.len() {
            let Some(further) = next(found) else { return Some(found) };
            found = further;
        }
        None
    }
}

/// A doc comment, when there is something to say.
pub(super) fn comment(text: Option<&str>, indent: usize) -> String {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return String::new() };
    let pad = " ".repeat(indent);
    // The end of a comment inside of one would end it.
    let lines: Vec<String> = text.replace("*/", "*\\/").lines().map(|line| line.trim().to_owned()).collect();
    match lines.as_slice() {
        [line] => format!("{pad}/** {line} */\n"),
        lines => {
            let body: String =
                lines.iter().map(|line| format!("{pad} *{}{line}\n", if line.is_empty() { "" } else { " " })).collect();
            format!("{pad}/**\n{body}{pad} */\n")
        }
    }
}

/// A property's name, quoted when it is no identifier.
pub(super) fn field(name: &str) -> String {
    let word = |at: usize, c: char| c == '_' || c == '$' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    if !name.is_empty() && name.chars().enumerate().all(|(at, c)| word(at, c)) {
        name.to_owned()
    } else {
        Value::from(name).to_string()
    }
}

fn union(options: impl Iterator<Item = String>) -> String {
    let mut found: Vec<String> = Vec::new();
    for option in options {
        if !found.contains(&option) {
            found.push(option);
        }
    }
    if found.is_empty() { "never".to_owned() } else { found.join(" | ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_of_schemas() {
        let components = json!({"Leaf": {"type": "integer"}});
        let components = Components(components.as_object().unwrap());
        let table = [
            (json!({"type": "string", "format": "date-time"}), "string"),
            (json!({"type": ["string", "null"]}), "string | null"),
            (json!({"type": ["number", "integer"]}), "number"),
            (json!({"type": "array", "items": {"type": ["string", "null"]}}), "(string | null)[]"),
            (json!({"type": "array", "items": {"$ref": "#/components/schemas/Leaf"}}), "number[]"),
            (json!({"enum": ["a", 1, null]}), "\"a\" | 1 | null"),
            (json!({"oneOf": [{"const": "x"}, {"type": "null"}]}), "\"x\" | null"),
            (json!({"type": "object", "additionalProperties": {"type": "boolean"}}), "Record<string, boolean>"),
            (json!({"type": "object"}), "Record<string, Json>"),
            (json!({}), "Json"),
            (json!(true), "Json"),
        ];
        for (schema, wanted) in table {
            assert_eq!(components.type_of(&schema, 0), wanted, "{schema}");
        }
    }

    #[test]
    fn objects_say_what_may_be_left_out() {
        let none = Map::new();
        let schema = json!({"type": "object", "required": ["a"], "properties": {
            "a": {"type": "string", "description": "Of */ two\nlines."}, "b-c": {"type": "object", "properties": {"d": {"type": "null"}}}}});
        let wanted = "{\n  /**\n   * Of *\\/ two\n   * lines.\n   */\n  a: string\n  \"b-c\"?: {\n    d?: null\n  }\n}";
        assert_eq!(Components(&none).type_of(&schema, 0), wanted);
    }
}
