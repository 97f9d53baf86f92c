//! The JSON Schema of a declaration, for editors. Made of the same tables as the checks, so the two
//! cannot drift.

use serde_json::{Map, Value, json};

use super::fields::{FieldSpec, SECRET, SECRETS_MAX, ValueShape};

/// The schema of a shape, as one value of draft 2020-12.
pub fn schema(shape: &ValueShape) -> Value {
    match shape {
        ValueShape::Text => json!({ "type": ["string", "number"] }),
        ValueShape::Word(words) => json!({ "enum": words }),
        ValueShape::Integer(min, max) if *max == i64::MAX => {
            json!({ "type": "integer", "minimum": min })
        }
        ValueShape::Integer(min, max) => {
            json!({ "type": "integer", "minimum": min, "maximum": max })
        }
        ValueShape::Boolean => json!({ "type": "boolean" }),
        ValueShape::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$" }),
        ValueShape::Rate => json!({ "type": "string", "pattern": "^[0-9]+ */ *(s|min|h)$" }),
        ValueShape::Scalar | ValueShape::Template => {
            json!({ "type": ["string", "number", "boolean"] })
        }
        ValueShape::Condition => json!({ "type": ["string", "boolean"] }),
        ValueShape::Secret => {
            let mut reference = fields_schema(&SECRET);
            reference["minProperties"] = json!(1);
            reference["maxProperties"] = json!(1);
            reference
        }
        ValueShape::Secrets => {
            let one = schema(&ValueShape::Secret);
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": SECRETS_MAX }] })
        }
        ValueShape::List(of) => json!({ "type": "array", "items": schema(of) }),
        ValueShape::Named(of) => json!({ "type": "object", "additionalProperties": schema(of) }),
        ValueShape::Fields(fields) => fields_schema(fields),
        ValueShape::Kinds(kinds) => {
            json!({ "anyOf": kinds.iter().map(|(_, fields)| fields_schema(fields)).collect::<Vec<_>>() })
        }
        ValueShape::Either(shapes) => {
            json!({ "anyOf": shapes.iter().map(schema).collect::<Vec<_>>() })
        }
    }
}

/// The schema of a file whose root has these fields.
pub fn document(title: &str, fields: &[FieldSpec]) -> Value {
    let mut document = fields_schema(fields);
    document["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    document["title"] = json!(title);
    document
}

fn fields_schema(fields: &[FieldSpec]) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut property = schema(&field.shape);
        property["description"] = json!(field.doc);
        properties.insert(field.name.to_owned(), property);
    }
    let required: Vec<&str> = fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_becomes_a_property_with_its_description() {
        static FIELDS: [FieldSpec; 2] = [
            FieldSpec::required("wait", ValueShape::Duration, "How long."),
            FieldSpec::optional("key", ValueShape::Secret, "The key."),
        ];
        let schema = document("a file", &FIELDS);
        assert_eq!(schema["required"], json!(["wait"]));
        assert_eq!(schema["properties"]["wait"]["description"], "How long.");
        assert_eq!(schema["properties"]["key"]["maxProperties"], 1);
        assert_eq!(schema["additionalProperties"], false);
    }
}
