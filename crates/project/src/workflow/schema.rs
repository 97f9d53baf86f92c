//! JSON Schemas for editors: of the same tables that check the files, and of the job kinds.

use serde_json::{Value, json};

use super::spec::WORKFLOW;
use crate::config::calendars::CALENDAR;
use crate::config::load::CONFIG;
use crate::job_kinds::spec::JOB_KIND;
use crate::job_kinds::{FieldKind, JobKind, JobKinds};
use payrun_yaml::schema::document;

/// The schema of workflow files; `with` is checked by the job kind that a job uses.
pub fn json_schema(job_kinds: &JobKinds) -> Value {
    let mut schema = document("payrun workflow", &WORKFLOW);
    let names: Vec<&String> = job_kinds.by_name.keys().collect();
    let job = &mut schema["properties"]["jobs"]["additionalProperties"];
    job["properties"]["uses"]["enum"] = json!(names);
    job["allOf"] = job_kinds
        .by_name
        .values()
        .map(|kind| with_schema(kind))
        .collect();
    schema
}

/// The schema of `payrun.yaml`.
pub fn config_schema() -> Value {
    document("payrun configuration", &CONFIG)
}

/// The schema of calendar files.
pub fn calendar_schema() -> Value {
    document("payrun calendar", &CALENDAR)
}

/// The schema of job kinds.
pub fn job_kind_schema() -> Value {
    document("payrun job kind", &JOB_KIND)
}

fn with_schema(kind: &JobKind) -> Value {
    let mut properties = serde_json::Map::new();
    for field in &kind.fields {
        let bounds = match &field.kind {
            FieldKind::Text { min, max, .. } => format!(" {min} to {max} characters."),
            FieldKind::Choice(words) => format!(" One of {}.", words.join(", ")),
            FieldKind::Date => " A date such as 2026-11-30.".to_owned(),
            FieldKind::Decimal | FieldKind::Amount | FieldKind::Currency => String::new(),
        };
        let description = format!("{}{bounds}", field.doc);
        let property =
            json!({ "type": ["string", "number", "boolean"], "description": description });
        properties.insert(field.name.clone(), property);
    }
    let required: Vec<&str> = kind
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name.as_str())
        .collect();
    let with = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    });
    json!({
        "if": { "properties": { "uses": { "const": kind.name } } },
        "then": { "properties": { "with": with } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_yaml::fields::{FieldSpec, ValueShape};

    fn each_field(fields: &'static [FieldSpec], visit: &mut dyn FnMut(&'static FieldSpec)) {
        for field in fields {
            visit(field);
            each_shape(&field.shape, visit);
        }
    }

    fn each_shape(shape: &'static ValueShape, visit: &mut dyn FnMut(&'static FieldSpec)) {
        match shape {
            ValueShape::Fields(fields) => each_field(fields, visit),
            ValueShape::List(of) | ValueShape::Named(of) => each_shape(of, visit),
            ValueShape::Kinds(kinds) => kinds
                .iter()
                .for_each(|(_, fields)| each_field(fields, visit)),
            ValueShape::Either(shapes) => shapes.iter().for_each(|shape| each_shape(shape, visit)),
            ValueShape::Text
            | ValueShape::Word(_)
            | ValueShape::Integer(..)
            | ValueShape::Boolean
            | ValueShape::Duration
            | ValueShape::Rate
            | ValueShape::Scalar
            | ValueShape::Template
            | ValueShape::Condition
            | ValueShape::Secret
            | ValueShape::Secrets => {}
        }
    }

    #[test]
    fn every_declared_field_is_described() {
        let mut count = 0;
        for fields in [&WORKFLOW[..], &CONFIG, &JOB_KIND, &CALENDAR] {
            each_field(fields, &mut |field| {
                count += 1;
                assert!(
                    field.doc.ends_with(['.', ']', '"']) && field.doc.len() > 7,
                    "{}: {}",
                    field.name,
                    field.doc
                );
            });
        }
        assert!(count > 60, "{count}");
    }

    #[test]
    fn the_schema_knows_the_job_kinds_and_their_fields() {
        let schema = json_schema(&JobKinds::built_in());
        let job = &schema["properties"]["jobs"]["additionalProperties"];
        assert_eq!(
            job["properties"]["uses"]["enum"],
            json!(JobKinds::built_in().by_name.keys().collect::<Vec<_>>())
        );
        let with = &job["allOf"][2]["then"]["properties"]["with"];
        assert!(
            with["properties"]["contract_id"]["description"]
                .as_str()
                .unwrap()
                .contains("1 to 64 characters")
        );
        assert!(
            with["required"]
                .as_array()
                .unwrap()
                .contains(&json!("currency"))
        );
        assert_eq!(config_schema()["properties"]["gateways"]["type"], "object");
        assert_eq!(job_kind_schema()["title"], "payrun job kind");
    }
}
