use super::*;
use crate::testing::schema;

fn document() -> Value {
    serde_json::from_slice(&Contract::new("notes", "1.2.0", &schema()).bytes()).unwrap()
}

#[test]
fn the_same_app_has_the_same_bytes() {
    let (one, two) = (Contract::new("notes", "1.2.0", &schema()), Contract::new("notes", "1.2.0", &schema()));
    assert_eq!(one.bytes(), two.bytes());
    assert_eq!(one.hash().len(), 64);
    assert_ne!(one.hash(), Contract::new("notes", "1.2.1", &schema()).hash());
}

#[test]
fn the_hash_is_of_the_document_without_it() {
    let mut document = document();
    let hash = document["x-nizhal"].as_object_mut().unwrap().remove("hash").unwrap();
    document.sort_all_objects();
    assert_eq!(hash, hex(&Sha256::digest(document.to_string().as_bytes())));
}

#[test]
fn private_columns_and_server_tables_never_appear() {
    assert!(!document().to_string().contains("secret"));
}

#[test]
fn rows_carry_their_columns_and_the_engines() {
    let row = &document()["components"]["schemas"]["notes"];
    let names: Vec<&String> = row["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["deleted_at", "id", "price", "shop_id", "text", "updated_at"]);
    assert_eq!(row["properties"]["text"]["type"], json!(["string", "null"]));
    assert_eq!(row["properties"]["deleted_at"]["type"], json!(["string", "null"]));
    assert_eq!(row["properties"]["updated_at"]["format"], "date-time");
    assert_eq!(row["properties"]["id"], json!({"type": "string", "description": "The client's id."}));
    assert_eq!(row["required"].as_array().unwrap().len(), 6);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = Vec::new();
    walk(&document, &mut found);
    assert!(found.iter().any(|reference| reference.ends_with("/AddNote")));
    for reference in found {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

#[test]
fn generators_find_tables_mutators_and_rules() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], "1.2.0");
    let part = &document["x-nizhal"];
    assert_eq!(part["tables"]["notes"]["primaryKey"], json!(["id"]));
    assert_eq!(part["tables"]["notes"]["merge"], "field");
    assert_eq!(part["tables"]["notes"]["buckets"], json!([{"rule": "myShop", "columns": ["shop_id"]}]));
    assert_eq!(part["mutators"]["addNote"]["replayable"], true);
    assert_eq!(part["rules"]["myShop"]["params"], json!([{"name": "shop_id", "type": "text"}]));
    assert_eq!(part["rules"]["myShop"]["tables"], json!(["notes"]));
}
