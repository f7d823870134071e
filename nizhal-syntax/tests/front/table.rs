//! Tables.

use crate::{mistakes, tokens};
use nizhal_syntax::ast::parse_table;
use nizhal_syntax::check::check_table;
use nizhal_syntax::model::{Table, lower_table};
use nizhal_syntax::{Errors, ast, ast::Merge};

fn read(attr: &str, fields: &str) -> (Option<Table>, Vec<String>) {
    let errors = Errors::new();
    let item = tokens(&format!("pub struct LedgerEntry {{ {fields} }}"));
    let table = parse_table(tokens(attr), item, &errors).map(lower_table);
    if let Some(table) = &table {
        check_table(table, &errors);
    }
    (table, mistakes(errors))
}

const KEY: &str = "#[nizhal(primary_key)] id: String,";

#[test]
fn defaults_are_applied() {
    let (table, mistakes) = read("", &format!("{KEY} /// When.\n #[nizhal(default = now, unique)] r#at: DateTimeUtc"));
    let table = table.unwrap();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((table.name.value().as_str(), table.merge, table.server_only), ("ledger_entry", Merge::Lww, false));
    let at = &table.columns[1];
    assert_eq!((at.name.value().as_str(), at.variant.to_string().as_str(), at.doc.as_str()), ("at", "At", "When."));
    assert!(matches!(at.default, Some(ast::Default::Now(_))) && at.unique.is_some() && at.private.is_none());
    assert!(table.item.fields.iter().all(|field| field.attrs.iter().all(|attr| !attr.path().is_ident("nizhal"))));
}

#[test]
fn words_are_understood() {
    let (table, mistakes) = read(r#"name = "entries", merge = "field", server_only"#, KEY);
    let table = table.unwrap();
    assert_eq!(mistakes, [""; 0]);
    assert_eq!((table.name.value().as_str(), table.merge, table.server_only), ("entries", Merge::Field, true));
}

#[test]
fn odd_fields_get_variants() {
    let fields = format!("{KEY} self_: String, _1: String, __: String, client_id: String");
    let (table, mistakes) = read("", &fields);
    let variants: Vec<String> = table.unwrap().columns.iter().map(|column| column.variant.to_string()).collect();
    assert_eq!((variants.join(" ").as_str(), mistakes.len()), ("Id Self_ _1 Column ClientId", 0));
}

#[test]
fn mistakes_are_named() {
    for (attr, fields, wanted) in [
        ("", "id: String", "table `LedgerEntry` has no primary key"),
        ("", "#[nizhal(primary_key)] id: Option<String>", "a column of the primary key cannot be empty"),
        (
            "",
            "#[nizhal(primary_key, private)] id: String",
            "the primary key cannot be private: devices name rows by it",
        ),
        ("", "#[nizhal(primary_key, unique)] id: String", "a primary key is unique already"),
        ("", "#[nizhal(primary_key)] id: u64", "`u64` cannot be a column"),
        ("", "#[nizhal(primary_key)] id: &'static str", "`&'static str` cannot be a column"),
        ("", "#[nizhal(primary_key, custom)] id: Money", "`#[nizhal(…)]` on a field has no word `custom`"),
        ("name = \"_nizhal_x\"", KEY, "the table name \"_nizhal_x\" is reserved for the sync engine"),
        ("name = \"a b\"", KEY, "\"a b\" cannot be the name of a table"),
        ("merge = \"crdt\"", KEY, "there is no merge policy \"crdt\""),
        ("merge = lww", KEY, "this is not a text"),
        ("serveronly", KEY, "`#[nizhal::table]` has no word `serveronly`"),
    ] {
        assert_eq!(read(attr, fields).1, [wanted], "{attr} {fields}");
    }
    for (fields, wanted) in [
        ("_meta: String", "the column name \"_meta\" is reserved for the sync engine"),
        ("updated_at: String", "column \"updated_at\" must be a moment"),
        ("deleted_at: i64", "column \"deleted_at\" must be a moment"),
        ("#[nizhal(rename = \"ID\")] other: String", "column \"ID\" is there already, from field `id`"),
        ("x: Option<Option<Money>>", "a column is empty or not: one `Option` is enough"),
        ("#[cfg(test)] x: String", "a column cannot be conditional: every build must see the same table"),
        ("#[nizhal(default = now)] x: String", "the present moment cannot be the default of a column of type `String`"),
        ("#[nizhal(default = 1)] x: Json", "a number cannot be the default of a column of type `Json`"),
        ("#[nizhal(default = 32768)] x: i16", "this number does not fit a column of type `i16`"),
        ("#[nizhal(default = 1u8)] x: i16", "this number does not fit a column of type `i16`"),
        ("#[nizhal(unique)] x: Option<CrdtText>", "a `CrdtText` merges, so it cannot be unique"),
        ("#[nizhal(primary_key)] x: CrdtMap", "a `CrdtMap` merges, so it cannot be part of the primary key"),
        ("#[nizhal(default = \"\")] x: CrdtText", "a text cannot be the default of a column of type `CrdtText`"),
        ("#[nizhal(default)] x: i16", "`default` needs a value"),
        ("#[nizhal] x: i16", "this attribute says nothing"),
        ("#[nizhal(generated = \"(1\")] x: i64", "this is not one SQL expression"),
        ("#[nizhal(primary_key)] x: Json<i64>", "a `Json<i64>` cannot be part of the primary key"),
        ("#[nizhal(primary_key)] x: BlobRef", "a `BlobRef` cannot be part of the primary key"),
        ("#[nizhal(unique)] x: Option<nizhal::BlobRef>", "a `BlobRef` cannot be unique"),
        ("#[nizhal(generated = \"y\")] x: BlobRef", "a `BlobRef` cannot be generated"),
        ("#[nizhal(default = \"\")] x: BlobRef", "a text cannot be the default of a column of type `BlobRef`"),
        ("x: Json<Vec<BlobRef>>", "a `BlobRef` inside of another type is hidden from the database"),
        ("x: Option<Vec<nizhal::BlobRef>>", "a `BlobRef` inside of another type is hidden from the database"),
        ("x: (BlobRef, i64)", "a `BlobRef` inside of another type is hidden from the database"),
        ("x: HashMap<String, BlobRef>", "a `BlobRef` inside of another type is hidden from the database"),
        ("x: Option<Option<BlobRef>>", "a column is empty or not: one `Option` is enough"),
        ("x: Box<BlobRef>", "`Box<BlobRef>` cannot be a column"),
        ("x: Vec<Decimal>", "`Vec<Decimal>` cannot be a column"),
    ] {
        assert_eq!(read("", &format!("{KEY} {fields}")).1, [wanted], "{fields}");
    }
}

#[test]
fn engine_columns_of_the_right_type_and_fitting_defaults_pass() {
    for fields in [
        "updated_at: DateTimeUtc, deleted_at: Option<nizhal::DateTimeUtc>",
        "#[nizhal(default = -32768)] x: i16, #[nizhal(default = 0)] y: Decimal, #[nizhal(default = true)] z: Option<bool>",
        "x: Money, y: Option<Money>",
        "x: BlobRef, y: Option<nizhal::BlobRef>, #[nizhal(private)] z: Option<BlobRef>",
        "x: Vec<u8>, y: chrono::DateTime<Utc>, z: serde_json::Value",
        "x: Vec<String>, y: Option<Vec<i64>>, z: Json<HashMap<String, i64>>, #[nizhal(generated = \"1\")] w: i64",
    ] {
        assert_eq!(read("", &format!("{KEY} {fields}")).1, [""; 0], "{fields}");
    }
}

#[test]
fn five_key_columns_are_one_too_many() {
    let fields = (0..5).map(|at| format!("#[nizhal(primary_key)] k{at}: String,")).collect::<String>();
    assert_eq!(read("", &fields).1, ["a primary key has at most 4 columns"]);
}
