//! `payrun schema`

#[cfg(feature = "sandbox")]
use std::path::Path;

use clap::{Args, ValueEnum};

use super::exit::{Exit, Failure};
use super::output::say_json;
#[cfg(feature = "sandbox")]
use super::write_new::write_new;
use crate::job_kinds::JobKinds;
use crate::workflow::schema::{calendar_schema, config_schema, json_schema};

/// Arguments of `payrun schema`.
#[derive(Debug, Args)]
pub(super) struct SchemaArgs {
    /// Of which files
    #[arg(value_enum, default_value_t = SchemaKind::Workflow)]
    of: SchemaKind,
}

/// Which files have a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaKind {
    /// Workflow files
    Workflow,
    /// payrun.yaml
    Config,
    /// Business-day calendars
    Calendar,
}

pub(super) fn run(args: &SchemaArgs) -> Result<Exit, Failure> {
    match args.of {
        SchemaKind::Workflow => say_json(&json_schema(&JobKinds::built_in())),
        SchemaKind::Config => say_json(&config_schema()),
        SchemaKind::Calendar => say_json(&calendar_schema()),
    }
    Ok(Exit::Success)
}

#[cfg(feature = "sandbox")]
/// Writes both into a project.
pub(super) fn write(folder: &Path) -> Result<(), Failure> {
    let text = |schema| serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n";
    write_new(
        folder,
        "schema/workflow.schema.json",
        &text(json_schema(&JobKinds::built_in())),
    )?;
    write_new(folder, "schema/payrun.schema.json", &text(config_schema()))
}
