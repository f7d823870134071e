//! What a type looks like from outside; aliases stay unknown and are left to rustc.

use syn::{GenericArgument, PathArguments, PathSegment, Type};

/// The names of the types that columns have.
pub const COLUMN_TYPES: &[&str] = &[
    "bool",
    "i16",
    "i32",
    "i64",
    "f32",
    "f64",
    "Decimal",
    "String",
    "Uuid",
    "DateTimeUtc",
    "Date",
    "Time",
    "Json",
    "Vec",
    "DateTime",
    "NaiveDate",
    "NaiveTime",
    "CrdtText",
    "CrdtMap",
    BLOB_TYPE,
    "Value",
];

/// What an array on Postgres is of.
pub const ARRAY_ITEMS: &[&str] =
    &["bool", "i16", "i32", "i64", "f32", "f64", "String", "Uuid", "DateTimeUtc", "Date", "Time"];

/// Those of them that merge as Yjs documents do, so that two rows' values are never simply equal.
pub const CRDT_TYPES: &[&str] = &["CrdtText", "CrdtMap"];

/// The one whose values are references to blobs.
pub const BLOB_TYPE: &str = "BlobRef";

/// The last segment of a path type.
pub fn last_segment(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) if path.qself.is_none() => path.path.segments.last(),
        Type::Group(group) => last_segment(&group.elem),
        Type::Paren(paren) => last_segment(&paren.elem),
        _ => None,
    }
}

/// The name of a path type's last segment.
pub fn name(ty: &Type) -> Option<String> {
    Some(last_segment(ty)?.ident.to_string())
}

/// The one type argument of `Name<T>`.
pub fn argument_of<'a>(ty: &'a Type, name: &str) -> Option<&'a Type> {
    let segment = last_segment(ty)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    match (segment.ident == name, arguments.args.len(), arguments.args.first()) {
        (true, 1, Some(GenericArgument::Type(ty))) => Some(ty),
        _ => None,
    }
}

/// `T` of `Option<T>`, or the type itself.
pub fn without_option(ty: &Type) -> &Type {
    argument_of(ty, "Option").unwrap_or(ty)
}
