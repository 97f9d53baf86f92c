//! The pages of the book that are made of the program's own declarations: `docs/cli.md`,
//! `docs/configuration.md`, `docs/job-kinds.md` and `docs/api-paths.md`. They are kept in the
//! repository to be read there; `PAYRUN_WRITE_DOCS=1` writes them anew.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};
use payrun::job_kinds::{FieldKind, InputField, JobKind, JobKinds};
use serde_json::Value;

use crate::support::root;

/// Asserts that a page is what was made, or writes it.
fn is_kept(page: &str, made: &str) {
    let path = root().join("docs").join(page);
    if std::env::var_os("PAYRUN_WRITE_DOCS").is_some() {
        std::fs::write(&path, made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == made,
        "docs/{page} is another one: PAYRUN_WRITE_DOCS=1 writes it"
    );
}

/// A text in one cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[test]
fn the_page_of_the_commands_is_made_of_the_help() {
    let mut command = payrun::cli::Args::command();
    command.build();
    let mut page = "# Commands\n\n\
        Every command with its options, as `--help` has them. [Operations](operations.md) says which to use when, and what the exit\n\
        codes mean. This page is made of the program's own declarations.\n\n\
        ## Options of every command\n\n"
        .to_owned();
    options(
        &mut page,
        command.get_arguments().filter(|one| one.is_global_set()),
    );
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        describe(&mut page, below, 2);
    }
    is_kept("cli.md", &format!("{}\n", page.trim_end()));
}

/// A command and those below it.
fn describe(page: &mut String, command: &Command, level: usize) {
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .replace('-', " ");
    let about = command
        .get_long_about()
        .or(command.get_about())
        .unwrap()
        .to_string();
    write!(page, "{} {name}\n\n{about}.\n\n", "#".repeat(level)).unwrap();
    let usage = command.clone().render_usage().to_string();
    let usage = usage
        .trim_start_matches("Usage:")
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("\n");
    write!(page, "```text\n{usage}\n```\n\n").unwrap();
    options(
        page,
        command.get_arguments().filter(|one| !one.is_global_set()),
    );
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        describe(page, below, level + 1);
    }
}

fn options<'a>(page: &mut String, all: impl Iterator<Item = &'a Arg>) {
    let ours = all
        .filter(|one| !one.is_hide_set() && !matches!(one.get_id().as_str(), "help" | "version"));
    let rows: Vec<String> = ours.map(option).collect();
    if !rows.is_empty() {
        write!(
            page,
            "| Argument | Meaning |\n|---|---|\n{}\n\n",
            rows.join("\n")
        )
        .unwrap();
    }
}

fn option(one: &Arg) -> String {
    let takes = one.get_action().takes_values();
    let names: Vec<&str> = one
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| name.as_str())
        .collect();
    let value = if takes {
        names.iter().map(|name| format!(" {name}")).collect()
    } else {
        String::new()
    };
    let name = match (one.get_short(), one.get_long()) {
        (Some(short), Some(long)) => format!("-{short}, --{long}{value}"),
        (None, Some(long)) => format!("--{long}{value}"),
        (Some(short), None) => format!("-{short}{value}"),
        (None, None) => value.trim_start().to_owned(),
    };
    let mut meaning = one.get_long_help().or(one.get_help()).unwrap().to_string();
    let mut note = |what: &str, words: Vec<String>| {
        if !words.is_empty() {
            write!(meaning, "; {what} `{}`", words.join("`, `")).unwrap();
        }
    };
    if takes {
        let values = one.get_possible_values();
        note(
            "one of",
            values
                .iter()
                .map(|value| value.get_name().to_owned())
                .collect(),
        );
        let defaults = one.get_default_values().iter();
        note(
            "if not given",
            defaults
                .map(|value| value.to_string_lossy().into_owned())
                .collect(),
        );
    }
    note(
        "or by the variable",
        one.get_env()
            .iter()
            .map(|name| name.to_string_lossy().into_owned())
            .collect(),
    );
    format!("| `{}` | {} |", cell(&name), cell(&meaning))
}

#[test]
fn the_page_of_the_paths_is_made_of_the_document_of_the_api() {
    let document = std::fs::read_to_string(root().join("docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let mut page = "# API paths\n\n\
        Every path of the [API](api.md). [openapi.json](openapi.json) has the parameters, bodies and answers, and this page is made of it.\n\n\
        | Path | What it does |\n|---|---|\n"
        .to_owned();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let summary = operation["summary"].as_str().unwrap();
            writeln!(
                page,
                "| `{} {path}` | {} |",
                method.to_uppercase(),
                cell(summary)
            )
            .unwrap();
        }
    }
    is_kept("api-paths.md", &page);
}

#[test]
fn the_page_of_the_configuration_is_made_of_the_fields_that_are_checked() {
    let schema = payrun::workflow::schema::config_schema();
    let mut page = "# Configuration\n\n\
        Every field of `payrun.yaml`. [Getting started](getting-started.md#how-do-i-put-a-real-account-into-payrunyaml) has an example. A\n\
        secret is a reference: `{ env: NAME }` or `{ file: PATH }`. This page is made of the declarations by which payrun checks the file, and of\n\
        which `payrun schema config` makes the JSON Schema.\n\n"
        .to_owned();
    section(&mut page, "", "", &schema);
    is_kept("configuration.md", &format!("{}\n", page.trim_end()));
}

#[test]
fn the_page_of_the_job_kinds_is_made_of_their_files() {
    let mut page = "# Job kinds\n\n\
        Every field that may stand under `with:`, by job kind; [Workflows](workflows.md#what-does-each-job-kind-do) says what the kinds are\n\
        for. A row that breaks a rule is rejected when it is planned. This page is made of the files in `jobs/`.\n\n"
        .to_owned();
    for kind in JobKinds::built_in().by_name.values() {
        job_kind(&mut page, kind);
    }
    page += "# The file of a job kind\n\n\
        What a file in `jobs/` may say, for whoever [replaces a job kind](workflows.md#how-do-i-replace-a-job-kind).\n\n";
    section(
        &mut page,
        "",
        "",
        &payrun::workflow::schema::job_kind_schema(),
    );
    is_kept("job-kinds.md", &format!("{}\n", page.trim_end()));
}

fn job_kind(page: &mut String, kind: &JobKind) {
    let gateways: Vec<&str> = kind.gateways.keys().map(String::as_str).collect();
    write!(page, "## {}\n\n{}", kind.name, kind.description).unwrap();
    if !gateways.is_empty() {
        write!(page, " On {}.", gateways.join(", ")).unwrap();
    }
    if !kind.key.is_empty() {
        write!(
            page,
            " Key unless the workflow says otherwise: `{}`.",
            kind.key.join("`, `")
        )
        .unwrap();
    }
    page.push_str("\n\n| Field | Value | Meaning |\n|---|---|---|\n");
    for field in &kind.fields {
        let required = required(kind, field);
        let personal = if field.sensitive {
            " Personal data: sealed, never shown."
        } else {
            ""
        };
        writeln!(
            page,
            "| `{}` | {}{required} | {}{personal} |",
            field.name,
            cell(&held(field)),
            cell(&field.doc)
        )
        .unwrap();
    }
    page.push('\n');
    for (gateway, operations) in &kind.gateways {
        for rule in &operations.rules {
            writeln!(page, "- {gateway}: {}.", rule.remedy).unwrap();
        }
    }
    let groups = [
        ("exactly one of", &kind.one_of),
        ("all or none of", &kind.all_or_none),
    ];
    for (what, groups) in groups {
        for group in groups {
            writeln!(page, "- {what} `{}`.", group.join("`, `")).unwrap();
        }
    }
    if let Some(split) = &kind.whole_or_parts {
        writeln!(
            page,
            "- of one `{}`: as a whole, or by `{}`, never both.",
            split.of.join("` and `"),
            split.part
        )
        .unwrap();
    }
    if !page.ends_with("\n\n") {
        page.push('\n');
    }
}

/// Whether a field must be given: everywhere, or on some gateways.
fn required(kind: &JobKind, field: &InputField) -> String {
    let on: Vec<&str> = kind
        .gateways
        .iter()
        .filter(|(_, operations)| operations.requires.contains(&field.name))
        .map(|(gateway, _)| gateway.as_str())
        .collect();
    match (field.required, on.as_slice()) {
        (true, _) => ", required".to_owned(),
        (false, []) => String::new(),
        (false, on) => format!(", required on {}", on.join(", ")),
    }
}

/// What a field of a row may hold, in words.
fn held(field: &InputField) -> String {
    match &field.kind {
        FieldKind::Text { min, max, .. } => format!("text, {min} to {max} characters"),
        FieldKind::Choice(words) => format!("`{}`", words.join("`, `")),
        FieldKind::Date => "date such as 2026-11-30".to_owned(),
        FieldKind::Decimal => "decimal in main units".to_owned(),
        FieldKind::Amount => "amount in main units".to_owned(),
        FieldKind::Currency => "currency code".to_owned(),
    }
}

/// The fields of an object, and then those of the objects in it. `kind`: of which kind of gateway
/// they are, if of one.
fn section(page: &mut String, path: &str, kind: &str, object: &Value) {
    let required: Vec<&str> = object["required"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    write!(
        page,
        "{}\n\n| Field | Value | Meaning |\n|---|---|---|\n",
        title(path, kind)
    )
    .unwrap();
    let properties = object["properties"].as_object().unwrap();
    for (name, property) in properties {
        let must = if required.contains(&name.as_str()) {
            ", required"
        } else {
            ""
        };
        let meaning = property["description"].as_str().unwrap();
        writeln!(
            page,
            "| `{name}` | {}{must} | {} |",
            cell(&value(property)),
            cell(meaning)
        )
        .unwrap();
    }
    page.push('\n');
    for (name, property) in properties {
        below(
            page,
            &if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            },
            kind,
            property,
        );
    }
}

fn title(path: &str, kind: &str) -> String {
    match (path, kind) {
        ("", _) => "## The file".to_owned(),
        (path, "") => format!("## {path}"),
        (path, kind) => format!("## {path}, kind {kind}"),
    }
}

fn below(page: &mut String, path: &str, kind: &str, shape: &Value) {
    if let Some(all) = shape["anyOf"].as_array() {
        for one in all {
            below(
                page,
                path,
                one["properties"]["kind"]["enum"][0]
                    .as_str()
                    .unwrap_or(kind),
                one,
            );
        }
    } else if shape["additionalProperties"].is_object() {
        below(
            page,
            &format!("{path}.NAME"),
            kind,
            &shape["additionalProperties"],
        );
    } else if shape["items"].is_object() {
        below(page, path, kind, &shape["items"]);
    } else if shape["properties"].is_object() && !is_secret(shape) {
        // A list of what may stand alone has the same fields.
        if !page.contains(&format!("{}\n", title(path, kind))) {
            section(page, path, kind, shape);
        }
    }
}

fn is_secret(shape: &Value) -> bool {
    let names: Option<Vec<&str>> = shape["properties"]
        .as_object()
        .map(|all| all.keys().map(String::as_str).collect());
    names.is_some_and(|names| names == ["env", "file"])
}

/// What a value may be, in words.
fn value(shape: &Value) -> String {
    if let Some(words) = shape["enum"].as_array() {
        let words: Vec<String> = words
            .iter()
            .map(|word| format!("`{}`", word.as_str().unwrap()))
            .collect();
        return words.join(", ");
    }
    if let Some(all) = shape["anyOf"].as_array() {
        let mut ways: Vec<String> = Vec::new();
        for way in all.iter().map(value) {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        return ways.join(", or ");
    }
    if is_secret(shape) {
        return "secret".to_owned();
    }
    match shape["type"].as_str() {
        Some("integer") => match (shape["minimum"].as_i64(), shape["maximum"].as_i64()) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            (Some(from), None) => format!("a number from {from}"),
            _ => "a number".to_owned(),
        },
        Some("boolean") => "`true`, `false`".to_owned(),
        Some("array") => format!("list of {}", value(&shape["items"])),
        Some("object") if shape["additionalProperties"].is_object() => {
            format!("by name: {}", value(&shape["additionalProperties"]))
        }
        Some("object") => "fields".to_owned(),
        Some("string")
            if shape["pattern"]
                .as_str()
                .is_some_and(|pattern| pattern.contains("ms")) =>
        {
            "a time such as `15s`".to_owned()
        }
        Some("string") if shape["pattern"].is_string() => "a rate such as `20/s`".to_owned(),
        _ => "text".to_owned(),
    }
}
