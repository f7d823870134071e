//! References as columns: `jsonb` in Postgres, text in SQLite.

use super::BlobRef;
use crate::{ColumnType, Json, JsonCheck, SqlType};
use schemars::{Schema, SchemaGenerator};
use sea_orm::sea_query::{ArrayType, ColumnType as SeaType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ActiveValue, ColIdx, IntoActiveValue, QueryResult, TryGetError, TryGetable, Value};

impl ColumnType for BlobRef {
    const SQL: SqlType = SqlType::Json;
    const BLOB: bool = true;
    const SCHEMA: Option<fn(&mut SchemaGenerator) -> Schema> = <Json<Self> as ColumnType>::SCHEMA;
    const CHECK: Option<JsonCheck> = <Json<Self> as ColumnType>::CHECK;
}

impl From<BlobRef> for Value {
    fn from(blob: BlobRef) -> Self {
        Json(blob).into()
    }
}

impl Nullable for BlobRef {
    fn null() -> Value {
        <Json<Self> as Nullable>::null()
    }
}

impl ValueType for BlobRef {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        <Json<Self> as ValueType>::try_from(value).map(Json::into_inner)
    }
    fn type_name() -> String {
        "BlobRef".to_owned()
    }
    fn array_type() -> ArrayType {
        <Json<Self> as ValueType>::array_type()
    }
    fn column_type() -> SeaType {
        <Json<Self> as ValueType>::column_type()
    }
}

impl IntoActiveValue<BlobRef> for BlobRef {
    fn into_active_value(self) -> ActiveValue<BlobRef> {
        ActiveValue::Set(self)
    }
}

impl TryGetable for BlobRef {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        Json::<Self>::try_get_by(row, index).map(Json::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_stored_as_its_json() {
        let json = serde_json::json!({"sha256": "0".repeat(64), "size": 7, "mime": "image/png"});
        let blob: BlobRef = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(Value::from(blob.clone()), Value::Json(Some(Box::new(json.clone()))));
        assert_eq!(crate::entity::unwrap::<BlobRef>(Value::from(blob.clone())).unwrap(), blob);
        assert_eq!(Value::from(None::<BlobRef>), Value::Json(None));
        assert!(crate::entity::unwrap::<BlobRef>(Value::Json(Some(Box::new("x".into())))).is_err());
        const { assert!(<Option<BlobRef> as ColumnType>::BLOB && <BlobRef as ColumnType>::BLOB) };
        let check = <BlobRef as ColumnType>::CHECK.unwrap();
        assert_eq!(check(&json.to_string()), Ok(()));
        assert!(check(r#"{"sha256": "0"}"#).unwrap_err().contains("64 lower-case"));
    }
}
