//! JSON columns: any JSON, or a type that serde reads and writes.

use crate::{ColumnType, JsonCheck, SqlType};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use sea_orm::sea_query::{ArrayType, ColumnType as SeaType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ActiveValue, ColIdx, DbErr, IntoActiveValue, QueryResult, TryGetError, TryGetable, Value};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::ops::{Deref, DerefMut};

/// `jsonb` in Postgres, text in SQLite: any JSON, or `Json<T>` for a type of the app's own.
///
/// What `T` cannot read (another writer's doing) is an error that names the place.
///
/// ```
/// # use nizhal_core::Json;
/// let any = Json(serde_json::json!({"a": 1}));
/// assert_eq!(any["a"], 1);
/// let typed: Json<Vec<i64>> = serde_json::from_str("[1, 2]").unwrap();
/// assert_eq!(typed.len(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json<T = serde_json::Value>(pub T);

impl<T> Json<T> {
    /// What is inside.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Json<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Json<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

impl<T: JsonSchema> JsonSchema for Json<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A type that a JSON column can hold.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be inside a JSON column",
    label = "not written and read as JSON",
    note = "derive serde's Serialize and Deserialize and schemars' JsonSchema, or annotate the type with #[nizhal::args]"
)]
pub trait JsonValue: Serialize + DeserializeOwned + JsonSchema {}
impl<T: Serialize + DeserializeOwned + JsonSchema> JsonValue for T {}

impl<T: JsonValue> ColumnType for Json<T> {
    const SQL: SqlType = SqlType::Json;
    const SCHEMA: Option<fn(&mut SchemaGenerator) -> Schema> = Some(|generator| generator.subschema_for::<T>());
    const CHECK: Option<JsonCheck> = Some(|text| {
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        T::deserialize(json).map(drop).map_err(|error| error.to_string())
    });
}

impl<T: JsonValue> From<Json<T>> for Value {
    /// # Panics
    /// When serde cannot write the value as JSON, such as a map whose keys are no texts; the mutation then fails.
    fn from(json: Json<T>) -> Self {
        let written = serde_json::to_value(json.0);
        let name = std::any::type_name::<T>();
        Value::Json(Some(Box::new(written.unwrap_or_else(|error| panic!("{name} cannot be written as JSON: {error}")))))
    }
}

impl<T> Nullable for Json<T> {
    fn null() -> Value {
        Value::Json(None)
    }
}

impl<T: JsonValue> ValueType for Json<T> {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        let Value::Json(Some(json)) = value else { return Err(ValueTypeErr) };
        serde_json::from_value(*json).map(Self).map_err(|_| ValueTypeErr)
    }
    fn type_name() -> String {
        "Json".to_owned()
    }
    fn array_type() -> ArrayType {
        ArrayType::Json
    }
    fn column_type() -> SeaType {
        SeaType::JsonBinary
    }
}

impl<T: JsonValue> IntoActiveValue<Json<T>> for Json<T> {
    fn into_active_value(self) -> ActiveValue<Json<T>> {
        ActiveValue::Set(self)
    }
}

impl<T: JsonValue> TryGetable for Json<T> {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let json = serde_json::Value::try_get_by(row, index)?;
        serde_path_to_error::deserialize(json).map(Self).map_err(|error| {
            let (name, at) = (std::any::type_name::<T>(), error.path().to_string());
            TryGetError::DbErr(DbErr::Type(format!("the JSON in the database is no {name}: {at}: {}", error.inner())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Decimal;

    #[test]
    fn a_typed_value_is_stored_as_its_json() {
        let price: Decimal = "1234567890123456.10".parse().unwrap();
        let stored = Value::from(Json(vec![Some(price), None]));
        assert_eq!(stored, Value::Json(Some(Box::new(serde_json::json!(["1234567890123456.10", null])))));
        assert_eq!(crate::entity::unwrap::<Json<Vec<Option<Decimal>>>>(stored).unwrap().0, [Some(price), None]);
        assert!(crate::entity::unwrap::<Json<Vec<i64>>>(Value::Json(Some(Box::new("x".into())))).is_err());
    }
}
