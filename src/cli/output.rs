//! What people see: tables, numbers, colours and errors. Nothing here knows payments.
//!
//! All that a command prints is printed here, and no character goes out that steers a terminal,
//! turns text around or cannot be seen, wherever the text comes from. Colours are our own alone.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use comfy_table::{Cell, CellAlignment, ContentArrangement};
use serde_json::Value;

use super::ColourChoice;
use super::exit::Failure;
use crate::domain::text::{escaped, inert, visible, visible_lines};

/// Whether to use colour on standard output.
pub(super) fn colour(when: ColourChoice) -> bool {
    match when {
        ColourChoice::Always => true,
        ColourChoice::Never => false,
        ColourChoice::Auto => {
            std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
        }
    }
}

/// Prints why a command failed.
pub(super) fn failure(failure: &Failure, colour: bool) {
    let error = paint(
        "error",
        Colour::Red,
        colour && std::io::stderr().is_terminal(),
    );
    note_lines(format!("{error}: {}", failure.message.trim_end()));
    if let Some(help) = &failure.help {
        note_lines(format!("  help: {help}"));
    }
}

/// Colours by meaning.
#[derive(Debug, Clone, Copy)]
pub(super) enum Colour {
    Green,
    Red,
    Yellow,
    Dim,
}

/// Text in a colour, if colours are used.
pub(super) fn paint(text: &str, colour: Colour, enabled: bool) -> String {
    if !enabled {
        return text.to_owned();
    }
    format!("{}{text}{}", mark(colour as u32), mark(PLAIN))
}

/// The codes of the colours by their numbers, and of none.
const CODES: [&str; 5] = [
    "\u{1b}[32m",
    "\u{1b}[31m",
    "\u{1b}[33m",
    "\u{1b}[2m",
    "\u{1b}[0m",
];

/// The number of no colour.
const PLAIN: u32 = 4;

/// The first of the characters that stand for colours until a line is printed: for private use, and
/// others in each process, so that no text from elsewhere has them.
static MARKS: LazyLock<u32> =
    LazyLock::new(|| 0xf_0000 + u32::from(rand::random::<u16>() >> 3) * 8);

fn mark(colour: u32) -> char {
    char::from_u32(*MARKS + colour).unwrap_or_default()
}

/// The text with the codes of our own colours.
fn coloured(text: Cow<'_, str>) -> Cow<'_, str> {
    let code = |c: char| CODES.get(usize::try_from(u32::from(c).checked_sub(*MARKS)?).ok()?);
    if !text.contains(|c| code(c).is_some()) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match code(c) {
            Some(code) => out.push_str(code),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A table; what is in a cell stays in its row.
pub(super) struct TextTable(comfy_table::Table);

impl TextTable {
    /// One more row.
    pub fn add_row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.add_row(
            cells
                .into_iter()
                .map(|cell| Cell::new(visible(cell.as_ref()))),
        );
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table with these headings; a heading that begins with `>` makes its column right-aligned.
pub(super) fn table(headings: &[&str]) -> TextTable {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(
        headings
            .iter()
            .map(|heading| Cell::new(heading.trim_start_matches('>').to_uppercase())),
    );
    for (place, heading) in headings.iter().enumerate() {
        if let Some(column) = table.column_mut(place) {
            column.set_padding((0, 2));
            if heading.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    TextTable(table)
}

/// Prints a table without trailing blanks.
pub(super) fn print_table(table: &TextTable) {
    for line in table.0.lines() {
        say(line.trim_end());
    }
}

/// Prints one line; a reader that has gone away is no error.
pub(super) fn say(line: impl AsRef<str>) {
    print(&coloured(visible(line.as_ref())));
}

/// Prints text that is meant to have several lines.
pub(super) fn say_lines(text: impl AsRef<str>) {
    print(&coloured(visible_lines(text.as_ref())));
}

/// Prints a calendar, whose lines end as RFC 5545 wants.
pub(super) fn say_calendar(text: &str) {
    text.trim_end()
        .lines()
        .for_each(|line| print(&format!("{}\r", visible(line))));
}

/// Prints JSON, indented.
pub(super) fn say_json(value: &Value) {
    print(&escaped(
        &serde_json::to_string_pretty(value).unwrap_or_default(),
    ));
}

/// Prints JSON in one line.
pub(super) fn say_json_line(value: &Value) {
    print(&escaped(&value.to_string()));
}

fn print(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").ok();
}

/// Standard output for a list that is a file. What stands in it was made printable where it was
/// written, or is a workbook.
pub(super) struct PipeWriter {
    out: std::io::Stdout,
    closed: PipeState,
}

/// Whether whoever read standard output has gone away.
#[derive(Debug, Clone, Default)]
pub(super) struct PipeState(Arc<AtomicBool>);

impl PipeState {
    /// Whether nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn look<T>(&self, done: std::io::Result<T>) -> std::io::Result<T> {
        if let Err(error) = &done
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            self.0.store(true, Ordering::Relaxed);
        }
        done
    }
}

impl PipeWriter {
    /// Standard output.
    pub fn new() -> Self {
        Self {
            out: std::io::stdout(),
            closed: PipeState::default(),
        }
    }

    /// Tells, also when this is gone, whether anybody reads.
    pub fn closed(&self) -> PipeState {
        self.closed.clone()
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.closed.look(self.out.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.closed.look(self.out.flush())
    }
}

/// A CSV on standard output. Unless it is for a program, everything in it can be seen and a
/// spreadsheet makes no formula of it.
pub(super) struct Csv {
    out: csv::Writer<PipeWriter>,
    closed: PipeState,
    raw: bool,
}

impl Csv {
    /// `raw`: for a program, with the fields as they are.
    pub fn new(raw: bool) -> Self {
        let pipe = PipeWriter::new();
        Self {
            closed: pipe.closed(),
            out: csv::Writer::from_writer(pipe),
            raw,
        }
    }

    /// One more record. Tells whether anybody still reads.
    pub fn record(
        &mut self,
        fields: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<bool, csv::Error> {
        let written = self.write(fields);
        self.unless_closed(written)
    }

    /// Writes what is left.
    pub fn flush(&mut self) -> Result<bool, csv::Error> {
        let written = self.out.flush().map_err(csv::Error::from);
        self.unless_closed(written)
    }

    fn write(
        &mut self,
        fields: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<(), csv::Error> {
        for field in fields {
            let field = field.as_ref();
            self.out.write_field(
                if self.raw {
                    Cow::Borrowed(field)
                } else {
                    inert(field)
                }
                .as_bytes(),
            )?;
        }
        self.out.write_record(None::<&[u8]>)
    }

    /// A reader that has gone away is no error.
    fn unless_closed(&self, written: Result<(), csv::Error>) -> Result<bool, csv::Error> {
        if self.closed.is_closed() {
            Ok(false)
        } else {
            written.map(|()| true)
        }
    }
}

/// Tells one line on standard error.
pub(super) fn note(line: impl AsRef<str>) {
    writeln!(
        std::io::stderr().lock(),
        "{}",
        coloured(visible(line.as_ref()))
    )
    .ok();
}

/// Tells on standard error what is meant to have several lines.
pub(super) fn note_lines(text: impl AsRef<str>) {
    writeln!(
        std::io::stderr().lock(),
        "{}",
        coloured(visible_lines(text.as_ref()))
    )
    .ok();
}

/// A count of things that have a plain plural.
pub(super) fn counted(number: u64, thing: &str) -> String {
    format!(
        "{} {thing}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}

/// A count with thousands separated.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Text cut to so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars()
        .take(most.saturating_sub(1))
        .chain(std::iter::once('…'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_separated() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(20_000), "20,000");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn a_cell_stays_in_its_row_and_only_our_own_colours_are_printed() {
        let mut rows = table(&["what"]);
        rows.add_row([format!(
            "{}{}",
            paint("good", Colour::Green, true),
            "\u{1b}[31m\nowned"
        )]);
        let lines: Vec<String> = rows.0.lines().collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let line = coloured(visible(lines[1].trim_end())).into_owned();
        assert_eq!(line, "\u{1b}[32mgood\u{1b}[0m[U+001B][31m[U+000A]owned");
    }

    #[test]
    fn long_text_is_cut_with_an_ellipsis() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
    }
}
