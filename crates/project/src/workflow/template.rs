//! Values of a workflow: literal text, or text with `{{ expressions }}`.
//!
//! A plain reference such as `{{ item.column }}` is looked up directly; only real expressions go
//! through minijinja.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use payrun_yaml::diagnostics::{Diagnostic, SourceText};
use payrun_yaml::node::Position;

use super::expression::{Expression, VariableName};

/// A value with what must be put in.
#[derive(Clone)]
pub struct Template {
    source: Arc<SourceText>,
    at: Position,
    parts: Vec<TemplatePart>,
}

/// A piece of a template.
#[derive(Debug, Clone)]
pub enum TemplatePart {
    /// Text as it stands.
    Text(String),
    /// A plain reference.
    Name(VariableName),
    /// Anything else between braces.
    Expression(Arc<Expression>),
}

/// Which rows are meant: an expression that is true or false.
pub struct Condition {
    source: Arc<SourceText>,
    at: Position,
    expression: Expression,
}

/// A place of a file, to say what is wrong there.
#[derive(Clone)]
pub struct FilePlace {
    source: Arc<SourceText>,
    at: Position,
}

impl FilePlace {
    /// Of this file.
    pub fn new(source: &Arc<SourceText>, at: Position) -> Self {
        Self {
            source: Arc::clone(source),
            at,
        }
    }

    /// A diagnostic there.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        self.source.diagnostic(self.at, message)
    }
}

impl fmt::Debug for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilePlace").field(&self.at).finish()
    }
}

impl Template {
    /// Reads a template that stands at a place of a file.
    ///
    /// # Errors
    /// What is wrong with one of its expressions, at its place.
    pub fn parse(text: &str, source: &Arc<SourceText>, at: Position) -> Result<Self, Diagnostic> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            let (before, opened) = rest.split_at(start);
            if opened.starts_with("{%") || opened.starts_with("{#") {
                return Err(source.diagnostic(
                    at,
                    "only {{ expressions }} are understood here, no {% statements %}",
                ));
            }
            let Some(inner) = opened.strip_prefix("{{") else {
                push_text(&mut parts, &rest[..=start]);
                rest = &rest[start + 1..];
                continue;
            };
            push_text(&mut parts, before);
            let Some(end) = end_of_expression(inner) else {
                return Err(source
                    .diagnostic(at, "{{ is never closed")
                    .help("an expression ends with }}"));
            };
            parts.push(read_part(inner[..end].trim(), source, at)?);
            rest = &inner[end + 2..];
        }
        push_text(&mut parts, rest);
        Ok(Self {
            source: Arc::clone(source),
            at,
            parts,
        })
    }

    /// Its pieces.
    pub fn parts(&self) -> &[TemplatePart] {
        &self.parts
    }

    /// Its text, if nothing must be put in.
    pub fn constant(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [TemplatePart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The item columns it uses, as far as they can be told without a row.
    pub fn item_columns(&self) -> BTreeSet<&str> {
        item_columns(self.names())
    }

    /// Whether it can differ from row to row.
    pub fn uses_item(&self) -> bool {
        !self.item_columns().is_empty()
            || self.parts.iter().any(
                |part| matches!(part, TemplatePart::Expression(e) if e.text().contains("item[")),
            )
    }

    /// Whether it reads a column of the row.
    pub(super) fn reads_column(&self, column: &str) -> bool {
        self.parts.iter().any(|part| match part {
            TemplatePart::Text(_) => false,
            TemplatePart::Name(name) => {
                matches!(name, VariableName::Item(name) if name == column)
            }
            TemplatePart::Expression(expression) => expression.reads_column(column),
        })
    }

    /// Everything it refers to.
    pub fn names(&self) -> impl Iterator<Item = &VariableName> {
        self.parts.iter().flat_map(|part| match part {
            TemplatePart::Text(_) => &[],
            TemplatePart::Name(name) => std::slice::from_ref(name),
            TemplatePart::Expression(expression) => expression.names(),
        })
    }

    /// A diagnostic at its place.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        self.source.diagnostic(self.at, message)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Template").field(&self.parts).finish()
    }
}

impl Condition {
    /// Reads a condition that stands at a place of a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, source: &Arc<SourceText>, at: Position) -> Result<Self, Diagnostic> {
        if text.trim_start().starts_with("{{") {
            return Err(source
                .diagnostic(at, "a condition is written without braces")
                .help("such as item.active == \"yes\""));
        }
        let expression = compile(text, source, at)?;
        Ok(Self {
            source: Arc::clone(source),
            at,
            expression,
        })
    }

    /// The expression.
    pub const fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The item columns it uses, as far as they can be told without a row.
    pub fn item_columns(&self) -> BTreeSet<&str> {
        item_columns(self.expression.names().iter())
    }

    /// A diagnostic at its place.
    pub fn diagnostic(&self, message: impl Into<String>) -> Diagnostic {
        self.source.diagnostic(self.at, message)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition")
            .field(&self.expression.text())
            .finish()
    }
}

fn item_columns<'a>(names: impl Iterator<Item = &'a VariableName>) -> BTreeSet<&'a str> {
    names
        .filter_map(|name| match name {
            VariableName::Item(column) => Some(column.as_str()),
            VariableName::Params(_) | VariableName::Run(_) => None,
        })
        .collect()
}

fn push_text(parts: &mut Vec<TemplatePart>, text: &str) {
    if text.is_empty() {
        return;
    }
    match parts.last_mut() {
        Some(TemplatePart::Text(known)) => known.push_str(text),
        Some(TemplatePart::Name(_) | TemplatePart::Expression(_)) | None => {
            parts.push(TemplatePart::Text(text.to_owned()))
        }
    }
}

/// Where `}}` stands outside of quotes.
fn end_of_expression(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut quote = None;
    let mut index = 0;
    while index < bytes.len() {
        match (quote, bytes[index]) {
            (Some(_), b'\\') => index += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, b'}') if bytes.get(index + 1) == Some(&b'}') => return Some(index),
            (Some(_) | None, _) => {}
        }
        index += 1;
    }
    None
}

fn read_part(
    text: &str,
    source: &Arc<SourceText>,
    at: Position,
) -> Result<TemplatePart, Diagnostic> {
    if let Some(name) = VariableName::parse(text).or_else(|| quoted_column(text)) {
        return Ok(TemplatePart::Name(name));
    }
    compile(text, source, at).map(|expression| TemplatePart::Expression(Arc::new(expression)))
}

/// `item["Contract ID"]`, for columns that are no identifiers.
fn quoted_column(text: &str) -> Option<VariableName> {
    let inner = text.strip_prefix("item[")?.strip_suffix(']')?.trim();
    let quote = inner.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let column = inner.strip_prefix(quote)?.strip_suffix(quote)?;
    let plain = !column.is_empty() && !column.contains([quote, '\\']);
    plain.then(|| VariableName::Item(column.to_owned()))
}

/// Compiles; a mistake is shown where the expression begins, if it stands on the line of its value.
fn compile(text: &str, source: &Arc<SourceText>, at: Position) -> Result<Expression, Diagnostic> {
    Expression::compile(text).map_err(|(message, help)| {
        let mut diagnostic = source.diagnostic(place_of(text, source, at), message);
        diagnostic.help = help;
        diagnostic
    })
}

fn place_of(text: &str, source: &SourceText, at: Position) -> Position {
    let skip = usize::try_from(at.column).unwrap_or(1).saturating_sub(1);
    let line = usize::try_from(at.line)
        .ok()
        .and_then(|line| source.text.lines().nth(line.saturating_sub(1)));
    let tail: String = line.unwrap_or_default().chars().skip(skip).collect();
    match tail.find(text) {
        Some(offset) if !text.is_empty() => {
            let before = u32::try_from(tail[..offset].chars().count()).unwrap_or(0);
            Position {
                line: at.line,
                column: at.column + before,
            }
        }
        Some(_) | None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Template, Diagnostic> {
        let source = SourceText::new("w.yaml", format!("key: \"{text}\"\n"), false);
        Template::parse(text, &source, Position { line: 1, column: 6 })
    }

    #[test]
    fn plain_references_never_enter_the_expression_engine() {
        for text in [
            "{{ item.a }}",
            "{{item.a}}/{{ run.month }}",
            "x-{{ params.p }}",
            "{{ item['Contract ID'] }}",
        ] {
            let template = parse(text).unwrap();
            assert!(
                !template
                    .parts()
                    .iter()
                    .any(|part| matches!(part, TemplatePart::Expression(_))),
                "{text}"
            );
        }
        assert_eq!(
            parse("{{ item.a|upper }}{{ item.b }}")
                .unwrap()
                .item_columns(),
            BTreeSet::from(["a", "b"])
        );
    }

    #[test]
    fn text_without_braces_is_constant_and_single_braces_are_text() {
        assert_eq!(parse("a {b} }} c").unwrap().constant(), Some("a {b} }} c"));
        assert_eq!(parse("").unwrap().constant(), Some(""));
        assert_eq!(parse("{{ 'a}}b' }}").unwrap().parts().len(), 1);
    }

    #[test]
    fn a_mistake_is_shown_where_its_expression_begins() {
        let diagnostic = parse("{{ item.a }}/{{ itm.b }}").unwrap_err();
        assert_eq!((diagnostic.line, diagnostic.column), (1, 23));
        assert!(diagnostic.to_string().contains("unknown name \"itm.b\""));
        assert!(
            parse("{{ item.a")
                .unwrap_err()
                .message
                .contains("never closed")
        );
        assert!(
            parse("{% if x %}")
                .unwrap_err()
                .message
                .contains("no {% statements %}")
        );
    }
}
