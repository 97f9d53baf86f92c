//! What a file may hold, declared once: [`check`] holds a tree against the declaration and reports
//! every mistake, and [`super::schema`] makes the JSON Schema for editors of the same tables.
//!
//! After a check without mistakes, the typed reading of a file may rely on shapes; what one field
//! means beside another is checked where it is read.

use super::diagnostics::{Diagnostic, Diagnostics, SourceText, suggestion};
use super::node::{MappingEntry, ScalarKind, Value, YamlNode};
use super::scalars;
use payrun_domain::text::shown;

/// One field of a mapping.
#[derive(Debug)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it may hold.
    pub shape: ValueShape,
    /// One line for people and editors.
    pub doc: &'static str,
}

impl FieldSpec {
    /// A field that may be left out.
    pub const fn optional(name: &'static str, shape: ValueShape, doc: &'static str) -> Self {
        Self {
            name,
            required: false,
            shape,
            doc,
        }
    }

    /// A field that must be there.
    pub const fn required(name: &'static str, shape: ValueShape, doc: &'static str) -> Self {
        Self {
            name,
            required: true,
            shape,
            doc,
        }
    }
}

/// What a node may be.
#[derive(Debug)]
pub enum ValueShape {
    /// Text, or a number, which is taken as it is written.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number in this range.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
    /// Such as `15s`.
    Duration,
    /// Such as `20/s`.
    Rate,
    /// Text, a number or a boolean, taken as it is written.
    Scalar,
    /// Text with `{{ expressions }}`; a number or a boolean is taken as it is written.
    Template,
    /// A bare expression that is true or false.
    Condition,
    /// `{ env: NAME }` or `{ file: path }`; never the secret itself.
    Secret,
    /// The same, or a list of them.
    Secrets,
    /// Several of a shape.
    List(&'static ValueShape),
    /// Several of a shape by names of the user's.
    Named(&'static ValueShape),
    /// A mapping of these fields.
    Fields(&'static [FieldSpec]),
    /// A mapping whose field `kind` says which fields it has.
    Kinds(&'static [(&'static str, &'static [FieldSpec])]),
    /// The first that suits the kind of node: a scalar, a list, a mapping.
    Either(&'static [ValueShape]),
}

/// What a reference to a secret is made of.
pub static SECRET: [FieldSpec; 2] = [
    FieldSpec::optional(
        "env",
        ValueShape::Text,
        "The environment variable that holds the secret.",
    ),
    FieldSpec::optional(
        "file",
        ValueShape::Text,
        "The file that holds the secret; relative to this file's folder.",
    ),
];

/// How many secrets may do the same work at once: one, and those that it replaces.
pub(super) const SECRETS_MAX: usize = 8;

const SECRET_HELP: &str = "a secret is a reference: { env: NAME } or { file: path }";

/// Holds a node against a shape and adds what is wrong.
pub fn check(node: &YamlNode, shape: &ValueShape, source: &SourceText, found: &mut Diagnostics) {
    match shape {
        ValueShape::Either(shapes) => match shapes.iter().find(|shape| suits(node, shape)) {
            Some(shape) => check(node, shape, source, found),
            // What may be a secret is told of as one.
            None if shapes
                .iter()
                .any(|shape| matches!(shape, ValueShape::Secret)) =>
            {
                check_secret(node, source, found)
            }
            None => found.push(wrong(node, &expected(shape), source)),
        },
        ValueShape::Secret => check_secret(node, source, found),
        ValueShape::Secrets => match &node.value {
            Value::List(nodes) if !nodes.is_empty() && nodes.len() <= SECRETS_MAX => {
                nodes
                    .iter()
                    .for_each(|node| check_secret(node, source, found));
            }
            Value::List(_) => {
                let message = format!("a list of secrets has 1 to {SECRETS_MAX}");
                found.push(Diagnostic::bare(&source.file, node.at, message).help(SECRET_HELP));
            }
            Value::Scalar(_) | Value::Map(_) => check_secret(node, source, found),
        },
        ValueShape::List(of) => match &node.value {
            Value::List(nodes) => nodes.iter().for_each(|node| check(node, of, source, found)),
            Value::Scalar(_) | Value::Map(_) => found.push(wrong(node, &expected(shape), source)),
        },
        ValueShape::Named(of) => match &node.value {
            Value::Map(entries) => entries
                .iter()
                .for_each(|entry| check(&entry.value, of, source, found)),
            Value::Scalar(_) | Value::List(_) => found.push(wrong(node, &expected(shape), source)),
        },
        ValueShape::Fields(fields) => match &node.value {
            Value::Map(entries) => check_fields(node, entries, fields, source, found),
            Value::Scalar(_) | Value::List(_) => found.push(wrong(node, &expected(shape), source)),
        },
        ValueShape::Kinds(kinds) => match &node.value {
            Value::Map(entries) => check_kind(node, entries, kinds, source, found),
            Value::Scalar(_) | Value::List(_) => found.push(wrong(node, &expected(shape), source)),
        },
        ValueShape::Text
        | ValueShape::Word(_)
        | ValueShape::Integer(..)
        | ValueShape::Boolean
        | ValueShape::Duration
        | ValueShape::Rate
        | ValueShape::Scalar
        | ValueShape::Template
        | ValueShape::Condition => check_scalar(node, shape, source, found),
    }
}

/// Without a known kind the other fields cannot be judged, so only the kind is reported.
fn check_kind(
    node: &YamlNode,
    entries: &[MappingEntry],
    kinds: &[(&'static str, &'static [FieldSpec])],
    source: &SourceText,
    found: &mut Diagnostics,
) {
    let words = || kinds.iter().map(|(word, _)| *word);
    let known =
        text_of(node, "kind").and_then(|given| kinds.iter().find(|(word, _)| *word == given));
    match (known, node.get("kind")) {
        (Some((_, fields)), _) => check_fields(node, entries, fields, source, found),
        (None, None) => {
            let help = format!("one of {}", words().collect::<Vec<_>>().join(", "));
            found.push(
                source
                    .diagnostic(node.at, "the field \"kind\" is missing")
                    .help(&help),
            );
        }
        (None, Some(kind)) => {
            let expected = words().collect::<Vec<_>>().join(" or ");
            found.push(
                wrong(kind, &expected, source).nearest(kind.text().unwrap_or_default(), words()),
            );
        }
    }
}

fn check_fields(
    node: &YamlNode,
    entries: &[MappingEntry],
    fields: &[FieldSpec],
    source: &SourceText,
    found: &mut Diagnostics,
) {
    for entry in entries {
        match fields.iter().find(|field| field.name == entry.key) {
            Some(field) => check(&entry.value, &field.shape, source, found),
            None => found.push(
                source
                    .diagnostic(
                        entry.key_at,
                        format!("unknown field \"{}\"", shown(&entry.key)),
                    )
                    .nearest(&entry.key, fields.iter().map(|field| field.name)),
            ),
        }
    }
    for field in fields
        .iter()
        .filter(|field| field.required && node.get(field.name).is_none())
    {
        let message = format!("the field \"{}\" is missing", field.name);
        found.push(source.diagnostic(node.at, message).help(field.doc));
    }
}

fn check_scalar(node: &YamlNode, shape: &ValueShape, source: &SourceText, found: &mut Diagnostics) {
    let Some(scalar) = node.scalar() else {
        found.push(wrong(node, &expected(shape), source));
        return;
    };
    let text = scalar.text.as_str();
    let fits = match shape {
        ValueShape::Text => node.text().is_some(),
        ValueShape::Scalar | ValueShape::Template | ValueShape::Condition => {
            scalar.kind != ScalarKind::Null
        }
        ValueShape::Word(words) => words.contains(&text),
        ValueShape::Integer(min, max) => {
            integer(node).is_some_and(|number| (*min..=*max).contains(&number))
        }
        ValueShape::Boolean => boolean(node).is_some(),
        ValueShape::Duration => scalars::duration(text).is_some(),
        ValueShape::Rate => scalars::rate(text).is_some(),
        ValueShape::Secret
        | ValueShape::Secrets
        | ValueShape::List(_)
        | ValueShape::Named(_)
        | ValueShape::Fields(_)
        | ValueShape::Kinds(_)
        | ValueShape::Either(_) => true,
    };
    if fits {
        return;
    }
    let mut diagnostic = wrong(node, &expected(shape), source);
    if let ValueShape::Word(words) = shape {
        diagnostic.help = suggestion(text, words.iter().copied());
    } else if scalar.kind == ScalarKind::Text
        && matches!(shape, ValueShape::Integer(..) | ValueShape::Boolean)
    {
        diagnostic =
            diagnostic.help("a quoted value is always text; remove the quotes if there are any");
    } else if scalar.kind == ScalarKind::Bool {
        diagnostic = diagnostic.help("put it in quotes if it is meant as text");
    }
    found.push(diagnostic);
}

/// An inline secret is refused without its text, its line or its field names being shown.
fn check_secret(node: &YamlNode, source: &SourceText, found: &mut Diagnostics) {
    let bare = |message: &str| {
        Diagnostic::bare(&source.file, node.at, message.to_owned()).help(SECRET_HELP)
    };
    match &node.value {
        Value::Scalar(scalar) if scalar.kind == ScalarKind::Null => {
            found.push(bare("the secret is missing"))
        }
        Value::Scalar(_) | Value::List(_) => {
            found.push(bare("a secret must not stand in the file itself"))
        }
        Value::Map(entries) => match entries.as_slice() {
            [only] if SECRET.iter().any(|field| field.name == only.key) => {
                if only.value.text().is_none_or(str::is_empty) {
                    found.push(bare("the reference to the secret names nothing"));
                }
            }
            _ => found.push(bare("this is no reference to a secret")),
        },
    }
}

fn suits(node: &YamlNode, shape: &ValueShape) -> bool {
    match shape {
        ValueShape::List(_) => matches!(node.value, Value::List(_)),
        ValueShape::Named(_)
        | ValueShape::Fields(_)
        | ValueShape::Kinds(_)
        | ValueShape::Secret => {
            matches!(node.value, Value::Map(_))
        }
        ValueShape::Secrets => matches!(node.value, Value::Map(_) | Value::List(_)),
        ValueShape::Either(shapes) => shapes.iter().any(|shape| suits(node, shape)),
        ValueShape::Text
        | ValueShape::Word(_)
        | ValueShape::Integer(..)
        | ValueShape::Boolean
        | ValueShape::Duration
        | ValueShape::Rate
        | ValueShape::Scalar
        | ValueShape::Template
        | ValueShape::Condition => matches!(node.value, Value::Scalar(_)),
    }
}

fn wrong(node: &YamlNode, expected: &str, source: &SourceText) -> Diagnostic {
    let given = match node.scalar() {
        Some(scalar) if scalar.kind != ScalarKind::Null && !source.is_confidential() => {
            format!("\"{}\"", shown(&scalar.text))
        }
        // It has what is expected, but for its size.
        Some(_) if expected.starts_with(node.what()) => "another one".to_owned(),
        Some(_) | None => node.what().to_owned(),
    };
    source.diagnostic(node.at, format!("expected {expected}, found {given}"))
}

/// What a shape expects, in words.
pub fn expected(shape: &ValueShape) -> String {
    match shape {
        ValueShape::Text => "text".to_owned(),
        ValueShape::Word(words) => words.join(" or "),
        ValueShape::Integer(min, max) if *max == i64::MAX => format!("a whole number from {min}"),
        ValueShape::Integer(min, max) => format!("a whole number from {min} to {max}"),
        ValueShape::Boolean => "true or false".to_owned(),
        ValueShape::Duration => "a duration (250ms, 15s, 10m, 1h, 1d)".to_owned(),
        ValueShape::Rate => "a rate (20/s, 600/min)".to_owned(),
        ValueShape::Scalar => "a value".to_owned(),
        ValueShape::Template => "text, which may hold {{ expressions }}".to_owned(),
        ValueShape::Condition => "an expression, such as item.active == \"yes\"".to_owned(),
        ValueShape::Secret => "a reference to a secret".to_owned(),
        ValueShape::Secrets => "a reference to a secret, or a list of them".to_owned(),
        ValueShape::List(_) => "a list".to_owned(),
        ValueShape::Named(_) => "a mapping by name".to_owned(),
        ValueShape::Fields(fields) => {
            let names: Vec<&str> = fields.iter().take(5).map(|field| field.name).collect();
            format!(
                "a mapping ({}{})",
                names.join(", "),
                if fields.len() > 5 { ", …" } else { "" }
            )
        }
        ValueShape::Kinds(_) => "a mapping (kind, …)".to_owned(),
        ValueShape::Either(shapes) => shapes
            .iter()
            .map(expected)
            .collect::<Vec<_>>()
            .join(", or "),
    }
}

/// A whole number that is not quoted.
pub fn integer(node: &YamlNode) -> Option<i64> {
    let scalar = node.scalar()?;
    (scalar.kind == ScalarKind::Integer).then(|| scalar.text.parse().ok())?
}

/// `true` or `false` that is not quoted.
pub fn boolean(node: &YamlNode) -> Option<bool> {
    let scalar = node.scalar()?;
    (scalar.kind == ScalarKind::Bool).then(|| scalar.text.eq_ignore_ascii_case("true"))
}

/// The text of a field of a mapping.
pub fn text_of<'a>(node: &'a YamlNode, name: &str) -> Option<&'a str> {
    node.get(name)?.text()
}

/// The duration of a field of a mapping.
pub fn duration_of(node: &YamlNode, name: &str) -> Option<std::time::Duration> {
    scalars::duration(text_of(node, name)?)
}

/// The whole number of a field of a mapping.
pub fn integer_of(node: &YamlNode, name: &str) -> Option<i64> {
    integer(node.get(name)?)
}

/// Whether a field of a mapping is `true`.
pub fn is_true(node: &YamlNode, name: &str) -> bool {
    node.get(name).and_then(boolean).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::parse;

    static INNER: [FieldSpec; 2] = [
        FieldSpec::required(
            "kind",
            ValueShape::Word(&["wechat", "hipopay"]),
            "The kind.",
        ),
        FieldSpec::optional("key", ValueShape::Secret, "The key."),
    ];
    static OUTER: [FieldSpec; 5] = [
        FieldSpec::required("name", ValueShape::Text, "Its name."),
        FieldSpec::optional("wait", ValueShape::Duration, "How long."),
        FieldSpec::optional("count", ValueShape::Integer(1, 9), "How many."),
        FieldSpec::optional(
            "waits",
            ValueShape::List(&ValueShape::Duration),
            "How long each.",
        ),
        FieldSpec::optional(
            "of",
            ValueShape::Named(&ValueShape::Fields(&INNER)),
            "By name.",
        ),
    ];

    fn mistakes(text: &str) -> String {
        let source = SourceText::new("f.yaml", text.to_owned(), false);
        let mut found = Diagnostics::default();
        check(
            &parse(&source).unwrap(),
            &ValueShape::Fields(&OUTER),
            &source,
            &mut found,
        );
        found.to_string()
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_the_nearest_name() {
        let text =
            "wiat: 1s\nwait: 10\ncount: \"3\"\nwaits: 1s\nof:\n  a: { kind: wechta }\n  b: []\n";
        insta::assert_snapshot!(mistakes(text), @r##"
        f.yaml:1:1: unknown field "wiat"
          | wiat: 1s
          | ^
            help: did you mean "wait"?
        f.yaml:1:1: the field "name" is missing
          | wiat: 1s
          | ^
            help: Its name.
        f.yaml:2:7: expected a duration (250ms, 15s, 10m, 1h, 1d), found "10"
          | wait: 10
          |       ^
        f.yaml:3:8: expected a whole number from 1 to 9, found "3"
          | count: "3"
          |        ^
            help: a quoted value is always text; remove the quotes if there are any
        f.yaml:4:8: expected a list, found "1s"
          | waits: 1s
          |        ^
        f.yaml:6:14: expected wechat or hipopay, found "wechta"
          |   a: { kind: wechta }
          |              ^
            help: did you mean "wechat"?
        f.yaml:7:6: expected a mapping (kind, key), found a list
          |   b: []
          |      ^
        "##);
    }

    #[test]
    fn an_inline_secret_is_refused_without_being_shown() {
        for secret in [
            "hunter2",
            "[hunter2]",
            "{ hunter2: x }",
            "{ env: a, hunter2: b }",
            "|\n      hunter2",
        ] {
            let shown = mistakes(&format!(
                "name: x\nof:\n  a:\n    kind: wechat\n    key: {secret}\n"
            ));
            assert!(shown.contains("{ env: NAME }"), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
