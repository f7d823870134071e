//! Judges a column: its type, and whether its default fits; types that are not known by name are left to rustc.

use super::blob::is_inside;
use crate::ast::Default;
use crate::model::{TableColumn, ty};
use crate::{Code, Errors};
use quote::ToTokens;
use syn::Type;

/// Rust's own types that no column holds, with the one to write.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("i8", "i16"),
    ("u8", "i16"),
    ("u16", "i32"),
    ("u32", "i64"),
    ("u64", "i64"),
    ("usize", "i64"),
    ("isize", "i64"),
    ("i128", "Decimal"),
    ("u128", "Decimal"),
    ("char", "String"),
    ("str", "String"),
    ("SystemTime", "DateTimeUtc"),
    ("Instant", "DateTimeUtc"),
    ("NaiveDateTime", "DateTimeUtc"),
    ("Duration", "i64"),
    ("TimeDelta", "i64"),
    ("BigDecimal", "Decimal"),
    ("PathBuf", "String"),
    ("IpAddr", "String"),
];

/// Rust's own structures, which a JSON column holds as they are.
pub(super) const STRUCTURES: &[&str] = &["HashMap", "BTreeMap", "HashSet", "BTreeSet", "VecDeque", "IndexMap"];

/// A type that cannot be a column, where its name says so and which to write; rustc judges all others by `ColumnType`.
pub(super) fn check_type(column: &TableColumn, errors: &Errors) {
    let TableColumn { field, ty, .. } = column;
    let inner = ty::without_option(ty);
    let optional = !std::ptr::eq(inner, ty);
    let written = plain(inner);
    if ty::argument_of(inner, "Option").is_some() {
        errors.push(
            Code::OptionTwice,
            ty,
            "a column is empty or not: one `Option` is enough",
            format!("write `{field}: {written}`"),
        );
    } else if let Some(instead) = instead_of(inner).filter(|_| !is_inside(inner)) {
        let wanted = if optional { format!("Option<{instead}>") } else { instead };
        errors.push(
            Code::UnsupportedType,
            inner,
            format!("`{written}` cannot be a column"),
            format!("write `{field}: {wanted}`{}", why(inner)),
        );
    }
}

/// What holds such a value; a structure is JSON.
pub(super) fn instead_of(ty: &Type) -> Option<String> {
    let json = |inner: &Type| Some(format!("Json<{}>", plain(inner)));
    match ty {
        Type::Reference(reference) => match ty::name(&reference.elem).as_deref() {
            Some("str") => Some("String".to_owned()),
            _ => instead_of(&reference.elem).or_else(|| Some(plain(&reference.elem))),
        },
        // A slice or an array is read back as a `Vec`.
        Type::Slice(slice) => Some(list_of(&slice.elem)),
        Type::Array(array) => Some(list_of(&array.elem)),
        Type::Tuple(_) => json(ty),
        _ => {
            let name = ty::name(ty)?;
            if STRUCTURES.contains(&name.as_str()) {
                return json(ty);
            }
            if let Some(item) = ty::argument_of(ty, "Vec") {
                return (!ty::name(item).is_some_and(|item| is_item(&item))).then(|| list_of(item));
            }
            if matches!(name.as_str(), "Box" | "Arc" | "Rc" | "Cow") {
                let inner = ty::argument_of(ty, &name)?;
                return instead_of(inner).or_else(|| Some(plain(inner)));
            }
            UNSUPPORTED.iter().find(|(from, _)| *from == name).map(|&(_, to)| to.to_owned())
        }
    }
}

/// A word on why, where the type alone does not say.
fn why(ty: &Type) -> &'static str {
    match ty::name(ty).as_deref() {
        Some("u64" | "usize" | "u128" | "i128") => ": no database has a whole number of this size",
        Some("NaiveDateTime" | "SystemTime" | "Instant") => ": moments are in UTC, so that devices agree on them",
        Some("Duration" | "TimeDelta") => ", and say in the name what it counts: `timeout_ms`",
        _ => "",
    }
}

/// The column that holds several of these: an array, bytes, or JSON.
fn list_of(item: &Type) -> String {
    match ty::name(item) {
        Some(name) if is_item(&name) => format!("Vec<{name}>"),
        _ => format!("Json<Vec<{}>>", plain(item)),
    }
}

fn is_item(name: &str) -> bool {
    name == "u8" || ty::ARRAY_ITEMS.contains(&name)
}

/// The type as people write it: tokens print with a space between any two.
fn plain(ty: &Type) -> String {
    let tokens = ty.to_token_stream().to_string();
    let in_word = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    let mut text = String::new();
    let mut chars = tokens.chars().peekable();
    while let Some(char) = chars.next() {
        let between_words = char == ' ' && in_word(text.chars().last()) && in_word(chars.peek().copied());
        if char != ' ' || between_words || text.ends_with([',', ';']) {
            text.push(char);
        }
    }
    text
}

/// A key that no index finds rows by, or that has no one text to name a deleted row by.
pub(super) fn check_key_type(column: &TableColumn, errors: &Errors) {
    let Some(key) = &column.primary_key else { return };
    let ty = ty::without_option(&column.ty);
    let without_text = |name: String| matches!(name.as_str(), "Json" | "f32" | "f64");
    if ty::argument_of(ty, "Vec").is_some() || ty::name(ty).is_some_and(without_text) {
        let help = "give the rows an `id` of their own";
        errors.push(Code::KeyType, key, format!("a `{}` cannot be part of the primary key", plain(ty)), help);
    }
}

/// A document that many write is no value to find a row by.
pub(super) fn check_crdt(column: &TableColumn, errors: &Errors) {
    let Some(name) = ty::name(ty::without_option(&column.ty)) else { return };
    if !ty::CRDT_TYPES.contains(&name.as_str()) {
        return;
    }
    if let Some(key) = &column.primary_key {
        let help = "give the rows an `id` of their own";
        errors.push(Code::KeyMerges, key, format!("a `{name}` merges, so it cannot be part of the primary key"), help);
    }
    if let Some(unique) = &column.unique {
        let help = "take `unique` away, or keep what must be unique in a column of its own";
        errors.push(Code::UniqueMerges, unique, format!("a `{name}` merges, so it cannot be unique"), help);
    }
}

/// `updated_at` and `deleted_at` mean something to the engine, so they must be moments.
pub(super) fn check_engine_type(column: &TableColumn, errors: &Errors) {
    let name = column.name.value();
    let Some(found) = ty::name(ty::without_option(&column.ty)) else { return };
    if matches!(name.as_str(), "updated_at" | "deleted_at") && found != "DateTimeUtc" {
        let what = format!("column \"{name}\" must be a moment");
        errors.push(
            Code::EngineColumnType,
            &column.ty,
            what,
            "write `DateTimeUtc` or `Option<DateTimeUtc>`, or name the column otherwise",
        );
    }
}

/// A default of another type than the column.
pub(super) fn check_default(column: &TableColumn, errors: &Errors) {
    let Some(default) = &column.default else { return };
    let Some(found) = ty::name(ty::without_option(&column.ty)) else { return };
    if !ty::COLUMN_TYPES.contains(&found.as_str()) {
        return;
    }
    let report = |at: &dyn ToTokens, kind: &str, help: &str| {
        errors.push(
            Code::DefaultOfOtherType,
            at,
            format!("{kind} cannot be the default of a column of type `{found}`"),
            help,
        );
    };
    match default {
        Default::Now(now) if found != "DateTimeUtc" => {
            report(now, "the present moment", "write `DateTimeUtc` as the column's type");
        }
        Default::Text(text) if found != "String" => report(text, "a text", fitting(&found)),
        Default::Bool(flag) if found != "bool" => report(flag, "a truth value", fitting(&found)),
        Default::Int(number, negative) => check_number(number, *negative, &found, &report, errors),
        _ => {}
    }
}

fn check_number(
    number: &syn::LitInt,
    negative: bool,
    found: &str,
    report: &dyn Fn(&dyn ToTokens, &str, &str),
    errors: &Errors,
) {
    let max: i128 = match found {
        "i16" => i16::MAX.into(),
        "i32" => i32::MAX.into(),
        "i64" | "f32" | "f64" | "Decimal" => i64::MAX.into(),
        _ => return report(number, "a number", fitting(found)),
    };
    let fits = number.base10_parse::<i128>().is_ok_and(|value| value - i128::from(negative) <= max);
    if !fits || !number.suffix().is_empty() {
        let help = format!("write a whole number between {} and {max}, without a suffix", -max - 1);
        errors.push(
            Code::DefaultOutOfRange,
            number,
            format!("this number does not fit a column of type `{found}`"),
            help,
        );
    }
}

fn fitting(found: &str) -> &'static str {
    match found {
        "String" => "write a text in quotes: `default = \"…\"`",
        "bool" => "write `default = true` or `default = false`",
        "DateTimeUtc" => "write `default = now`",
        "i16" | "i32" | "i64" | "f32" | "f64" | "Decimal" => "write a whole number: `default = 0`",
        _ => "take the default away: a column of this type has none",
    }
}
