//! The JSON Schema of the policy document.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, schema_for};
use serde_json::Value;

use super::document::{Document, Part};
use super::model::Policy;

impl Policy {
    /// The JSON Schema of the policy document.
    pub fn schema() -> Value {
        let mut schema = schema_for!(Document);
        schema.insert("title".to_owned(), "imds-enforcer policy".into());
        schema.to_value()
    }
}

/// The schema of what the part contains.
impl<T: JsonSchema> JsonSchema for Part<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
