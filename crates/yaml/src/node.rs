//! YAML text to a tree of nodes with positions, within bounds.
//!
//! Refused with their place: what is not YAML, more than one document, duplicate keys, anchors and
//! aliases, tags, deeper than [`DEPTH_MAX`], more than [`NODES_MAX`] nodes. Scalars keep the text
//! they were written as, so that no number is ever rounded; a quoted scalar is always text.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::FILE_MAX;
use super::diagnostics::{Diagnostic, SourceText};
use payrun_domain::text::shown;

/// How deep a file may nest.
pub const DEPTH_MAX: usize = 32;
/// How many nodes a file may have.
pub const NODES_MAX: usize = 100_000;

/// A place in a file: line and column in characters, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// A node and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlNode {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<YamlNode>),
    /// A mapping, in the order of the file, without duplicates.
    Map(Vec<MappingEntry>),
}

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingEntry {
    /// The key.
    pub key: String,
    /// Where the key begins.
    pub key_at: Position,
    /// Its value.
    pub value: YamlNode,
}

/// One value as it was written, and what the core schema makes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar {
    /// The text as written, without quotes.
    pub text: String,
    /// What the core schema makes of it.
    pub kind: ScalarKind,
}

/// What the YAML core schema makes of a scalar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScalarKind {
    /// Quoted, or not anything below.
    Text,
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Integer,
    /// A number with a decimal point or an exponent.
    Decimal,
}

impl YamlNode {
    /// Its scalar, if it is one.
    pub const fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Its text, if it is text or a number, exactly as written.
    pub fn text(&self) -> Option<&str> {
        let scalar = self.scalar()?;
        match scalar.kind {
            ScalarKind::Text | ScalarKind::Integer | ScalarKind::Decimal => Some(&scalar.text),
            ScalarKind::Null | ScalarKind::Bool => None,
        }
    }

    /// Its entries, if it is a mapping; else none.
    pub fn entries(&self) -> &[MappingEntry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Scalar(_) | Value::List(_) => &[],
        }
    }

    /// Its nodes, if it is a list; else none.
    pub fn list(&self) -> &[Self] {
        match &self.value {
            Value::List(nodes) => nodes,
            Value::Scalar(_) | Value::Map(_) => &[],
        }
    }

    /// The value of a key, if it is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// What it is, in words for a message.
    pub fn what(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Scalar(scalar) => match scalar.kind {
                ScalarKind::Text => "text",
                ScalarKind::Null => "nothing",
                ScalarKind::Bool => "true or false",
                ScalarKind::Integer => "a whole number",
                ScalarKind::Decimal => "a number",
            },
        }
    }
}

/// Reads a file's text.
///
/// # Errors
/// The first thing that keeps it from being read as a whole. Everything else is for the checks on
/// the tree.
pub fn parse(source: &SourceText) -> Result<YamlNode, Diagnostic> {
    if source.text.len() > FILE_MAX {
        return Err(source.diagnostic(
            Position { line: 1, column: 1 },
            "the file is longer than 1 MiB",
        ));
    }
    let mut builder = Builder {
        source,
        open: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
    };
    for event in Parser::new_from_str(&source.text) {
        let (event, span) = event.map_err(|error| {
            let place = position(*error.marker());
            source.diagnostic(place, format!("this is not YAML: {}", error.info()))
        })?;
        builder.take(event, span)?;
    }
    builder
        .root
        .ok_or_else(|| source.diagnostic(Position { line: 1, column: 1 }, "the file is empty"))
}

fn position(marker: saphyr_parser::Marker) -> Position {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: number(marker.line().max(1)),
        column: number(marker.col() + 1),
    }
}

/// A list or mapping that is not closed yet.
enum OpenCollection {
    List(Position, Vec<YamlNode>),
    Map {
        at: Position,
        entries: Vec<MappingEntry>,
        keys: HashSet<String>,
        key: Option<(String, Position)>,
    },
}

struct Builder<'a> {
    source: &'a SourceText,
    open: Vec<OpenCollection>,
    root: Option<YamlNode>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let at = position(span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                let message = "a second document begins here; one file holds one";
                if self.documents > 1 {
                    Err(self.source.diagnostic(at, message))
                } else {
                    Ok(())
                }
            }
            Event::Alias(_) => Err(self
                .source
                .diagnostic(at, "aliases (*name) are not allowed here")),
            Event::Scalar(text, style, anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                let kind = if style == ScalarStyle::Plain {
                    plain_kind(&text)
                } else {
                    ScalarKind::Text
                };
                self.scalar(
                    at,
                    Scalar {
                        text: text.into_owned(),
                        kind,
                    },
                )
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                self.nest(OpenCollection::List(at, Vec::new()), at)
            }
            Event::MappingStart(anchor, tag) => {
                self.begin(at, anchor, tag.is_some())?;
                self.nest(
                    OpenCollection::Map {
                        at,
                        entries: Vec::new(),
                        keys: HashSet::new(),
                        key: None,
                    },
                    at,
                )
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.close();
                Ok(())
            }
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, tagged: bool) -> Result<(), Diagnostic> {
        self.nodes += 1;
        let message = if anchor != 0 {
            "anchors (&name) are not allowed here"
        } else if tagged {
            "tags (!name) are not allowed here"
        } else if self.nodes > NODES_MAX {
            "the file has more than 100000 values"
        } else {
            return Ok(());
        };
        Err(self.source.diagnostic(at, message))
    }

    fn nest(&mut self, open: OpenCollection, at: Position) -> Result<(), Diagnostic> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self
                .source
                .diagnostic(at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        if let Some(OpenCollection::Map { key: None, .. }) = self.open.last() {
            return Err(self.source.diagnostic(at, "a key must be plain text"));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, at: Position, scalar: Scalar) -> Result<(), Diagnostic> {
        if let Some(OpenCollection::Map {
            keys,
            key: key @ None,
            ..
        }) = self.open.last_mut()
        {
            if !keys.insert(scalar.text.clone()) {
                return Err(self
                    .source
                    .diagnostic(at, format!("\"{}\" is given twice", shown(&scalar.text))));
            }
            *key = Some((scalar.text, at));
            return Ok(());
        }
        self.add(YamlNode {
            at,
            value: Value::Scalar(scalar),
        });
        Ok(())
    }

    fn close(&mut self) {
        match self.open.pop() {
            Some(OpenCollection::List(at, nodes)) => self.add(YamlNode {
                at,
                value: Value::List(nodes),
            }),
            Some(OpenCollection::Map { at, entries, .. }) => self.add(YamlNode {
                at,
                value: Value::Map(entries),
            }),
            None => {}
        }
    }

    fn add(&mut self, node: YamlNode) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(OpenCollection::List(_, nodes)) => nodes.push(node),
            Some(OpenCollection::Map { entries, key, .. }) => {
                if let Some((key, key_at)) = key.take() {
                    entries.push(MappingEntry {
                        key,
                        key_at,
                        value: node,
                    });
                }
            }
        }
    }
}

fn plain_kind(text: &str) -> ScalarKind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => ScalarKind::Bool,
        _ => number_kind(text),
    }
}

fn number_kind(text: &str) -> ScalarKind {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if digits(unsigned) {
        return ScalarKind::Integer;
    }
    let (mantissa, exponent) = unsigned
        .split_once(['e', 'E'])
        .map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)));
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, part)) => {
            (digits(whole) || whole.is_empty())
                && (digits(part) || (part.is_empty() && digits(whole)))
        }
        None => digits(mantissa),
    };
    if mantissa_fits && exponent_fits {
        ScalarKind::Decimal
    } else {
        ScalarKind::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<YamlNode, String> {
        parse(&SourceText::new("f.yaml", text.to_owned(), false))
            .map_err(|d| format!("{}:{} {}", d.line, d.column, d.message))
    }

    #[test]
    fn nodes_know_their_places_counted_from_one() {
        let root = read("a: 1\nb:\n  - x\n  - { c: \"2\" }\n").unwrap();
        assert_eq!(root.entries()[1].key_at, Position { line: 2, column: 1 });
        let list = root.get("b").unwrap().list();
        assert_eq!(list[0].at, Position { line: 3, column: 5 });
        assert_eq!(
            list[1].get("c").unwrap().at,
            Position {
                line: 4,
                column: 10
            }
        );
    }

    #[test]
    fn a_quoted_scalar_is_text_and_a_number_keeps_its_text() {
        let root = read("[007, \"7\", 1.50, true, ~, 1e3, 1.2.3, 0x1f, .5]").unwrap();
        let kinds: Vec<ScalarKind> = root
            .list()
            .iter()
            .map(|n| n.scalar().unwrap().kind)
            .collect();
        use ScalarKind::{Bool, Decimal, Integer, Null, Text};
        assert_eq!(
            kinds,
            [
                Integer, Text, Decimal, Bool, Null, Decimal, Text, Text, Decimal
            ]
        );
        assert_eq!(root.list()[0].text(), Some("007"));
        assert_eq!(root.list()[2].text(), Some("1.50"));
    }

    #[test]
    fn a_value_that_is_not_written_is_nothing_as_its_spellings_are() {
        let root = read("a:\nb: ~\nc: null\nd: \"\"\ne: { f: , g: }\nh:\n  -\n").unwrap();
        let kind = |node: &YamlNode| node.scalar().unwrap().kind;
        for key in ["a", "b", "c"] {
            assert_eq!(kind(root.get(key).unwrap()), ScalarKind::Null, "{key}");
        }
        assert_eq!(kind(root.get("d").unwrap()), ScalarKind::Text);
        let inner = root.get("e").unwrap();
        assert_eq!(kind(inner.get("f").unwrap()), ScalarKind::Null);
        assert_eq!(kind(inner.get("g").unwrap()), ScalarKind::Null);
        let item = &root.get("h").unwrap().list()[0];
        assert_eq!(kind(item), ScalarKind::Null);
        assert_eq!(item.at.line, 7);
    }

    #[test]
    fn what_could_hide_something_is_refused_at_its_place() {
        assert_eq!(
            read("a: 1\na: 2\n").unwrap_err(),
            "2:1 \"a\" is given twice"
        );
        assert!(read("a: &x 1\nb: *x\n").unwrap_err().contains("anchors"));
        assert!(read("a: !!str 1\n").unwrap_err().contains("tags"));
        assert_eq!(
            read("a: 1\n---\nb: 2\n").unwrap_err(),
            "2:1 a second document begins here; one file holds one"
        );
        assert!(read("? [a]\n: 1\n").unwrap_err().contains("plain text"));
        assert!(read("").unwrap_err().contains("empty"));
        assert!(read("a: 1\0\n").unwrap_err().starts_with("1:5"));
    }

    #[test]
    fn broken_deep_and_huge_files_are_refused_quickly() {
        assert!(read("a: [1\nb: 2\n").unwrap_err().contains("not YAML"));
        assert!(read(&"[".repeat(200_000)).is_err());
        assert!(
            read(&format!("{}x{}", "[".repeat(33), "]".repeat(33)))
                .unwrap_err()
                .contains("nested deeper")
        );
        assert!(read(&format!("{}x{}", "[".repeat(32), "]".repeat(32))).is_ok());
        assert!(
            read(&format!("{}x", "- ".repeat(33)))
                .unwrap_err()
                .contains("nested deeper")
        );
        assert!(
            read(&format!("[{}]", "1,".repeat(100_001)))
                .unwrap_err()
                .contains("100000")
        );
        assert!(
            read(&" ".repeat(FILE_MAX + 1))
                .unwrap_err()
                .contains("1 MiB")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[-a-c:\\[\\]{}#&*!|>'\"%@` \n\t,?~0-9.]{0,80}") {
            let _ = read(&text);
        }
    }
}
