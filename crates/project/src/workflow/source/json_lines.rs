//! JSON Lines: one object of scalars a line. The first line names the columns; later ones may leave
//! some out.

use std::collections::HashSet;
use std::fmt;
use std::io::{BufRead, BufReader, Read};

use serde::Deserializer as _;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{FILE_EMPTY, FileRow, ROW_MAX, RowError, no_column};
use payrun_domain::message::Message;
use payrun_domain::text::shown;
use payrun_domain::text::trimmed;

pub(super) struct JsonLines<R> {
    reader: BufReader<R>,
    line: u64,
    bytes: Vec<u8>,
    cells: Vec<String>,
    /// Whether `bytes` holds a line that was looked at for its columns only.
    looked_at: bool,
}

impl<R: Read> JsonLines<R> {
    pub(super) fn new(file: R) -> Self {
        let reader = BufReader::with_capacity(64 * 1024, file);
        Self {
            reader,
            line: 0,
            bytes: Vec::new(),
            cells: Vec::new(),
            looked_at: false,
        }
    }

    pub(super) fn header(&mut self) -> Result<(Vec<String>, u64), RowError> {
        self.next_line()
            .unwrap_or_else(|| Err(RowError::at(1, FILE_EMPTY)))?;
        self.looked_at = true;
        let mut columns = Vec::new();
        self.entries(|name, _| {
            columns.push(name.to_owned());
            Ok(())
        })?;
        Ok((columns, self.line))
    }

    pub(super) fn read(
        &mut self,
        row: &mut FileRow,
        columns: &[String],
    ) -> Option<Result<(), RowError>> {
        let looked_at = std::mem::take(&mut self.looked_at);
        if !looked_at && let Err(error) = self.next_line()? {
            return Some(Err(error));
        }
        let mut cells = std::mem::take(&mut self.cells);
        cells.resize(columns.len(), String::new());
        cells.iter_mut().for_each(String::clear);
        let mut given = HashSet::with_capacity(columns.len());
        let read = self.entries(|name, value| {
            let name = trimmed(name);
            let index = columns
                .iter()
                .position(|column| column == name)
                .ok_or_else(|| no_column(name, columns))?;
            if !given.insert(index) {
                let twice = Message::new("row-given-twice", "\"{name}\" is given twice");
                return Err(twice.with("name", shown(name)));
            }
            scalar(name, value, &mut cells[index])
        });
        row.clear();
        row.line = self.line;
        cells.iter().for_each(|cell| row.push(cell));
        self.cells = cells;
        Some(read)
    }

    /// Reads the next line that is not empty.
    fn next_line(&mut self) -> Option<Result<(), RowError>> {
        loop {
            self.bytes.clear();
            self.line += 1;
            let limit = ROW_MAX as u64 + 1;
            match self
                .reader
                .by_ref()
                .take(limit)
                .read_until(b'\n', &mut self.bytes)
            {
                Err(error) => {
                    let reason = Message::new(
                        "file-unreadable-further",
                        "the file cannot be read any further: {error}",
                    );
                    return Some(Err(RowError {
                        line: self.line,
                        reason: reason.with("error", error.to_string()),
                        fatal: true,
                    }));
                }
                Ok(0) => return None,
                Ok(_) if self.bytes.len() > ROW_MAX => return Some(Err(self.too_long())),
                Ok(_) => {}
            }
            if self.line == 1 && self.bytes.starts_with("\u{feff}".as_bytes()) {
                self.bytes.drain(..3);
            }
            if !self.bytes.trim_ascii().is_empty() {
                return Some(Ok(()));
            }
        }
    }

    /// Skips the rest of a line that is too long.
    fn too_long(&mut self) -> RowError {
        while self.bytes.last() != Some(&b'\n') {
            self.bytes.clear();
            let read = self
                .reader
                .by_ref()
                .take(ROW_MAX as u64)
                .read_until(b'\n', &mut self.bytes);
            if !read.is_ok_and(|read| read > 0) {
                break;
            }
        }
        RowError::at(
            self.line,
            Message::new("line-too-long", "the line is longer than 1 MiB"),
        )
    }

    fn entries(
        &self,
        take: impl FnMut(&str, &RawValue) -> Result<(), Message>,
    ) -> Result<(), RowError> {
        let refuse = |reason: Message| RowError::at(self.line, reason);
        let text = std::str::from_utf8(&self.bytes)
            .map_err(|_| refuse(Message::new("line-not-utf8", "the line is not UTF-8 text")))?;
        if !text.trim_start().starts_with('{') {
            return Err(refuse(Message::new(
                "line-no-object",
                "the line is not a JSON object",
            )));
        }
        let mut refused = None;
        let mut reader = serde_json::Deserializer::from_str(text.trim_end());
        let read = reader
            .deserialize_map(Entries {
                take,
                refused: &mut refused,
            })
            .and_then(|()| reader.end());
        read.map_err(|error| {
            let reason = error.to_string();
            let place = format!(" at line {} column {}", error.line(), error.column());
            let reason = reason.strip_suffix(&place).unwrap_or(&reason);
            let no_json = || {
                Message::new(
                    "line-no-json",
                    "the line is not JSON: {reason} at column {column}",
                )
                .with("reason", reason)
                .with("column", error.column())
            };
            refuse(refused.take().unwrap_or_else(no_json))
        })
    }
}

/// Hands each entry of an object on, up to the first that is refused.
struct Entries<'a, F> {
    take: F,
    refused: &'a mut Option<Message>,
}

impl<'de, F: FnMut(&str, &RawValue) -> Result<(), Message>> Visitor<'de> for Entries<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if let Err(reason) = (self.take)(&name, value) {
                *self.refused = Some(reason);
                return Err(A::Error::custom("an entry was refused"));
            }
        }
        Ok(())
    }
}

/// The text of a scalar; numbers exactly as they are written.
fn scalar(name: &str, value: &RawValue, cell: &mut String) -> Result<(), Message> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let parsed: String = serde_json::from_str(text).map_err(|_| {
                Message::new("value-no-text", "the value of \"{name}\" is no text")
                    .with("name", shown(name))
            })?;
            cell.push_str(&parsed);
        }
        Some(b'{' | b'[') => {
            let nested = Message::new(
                "value-nested",
                "the value of \"{name}\" is a list or an object; a value is text, a number, true, false or null",
            );
            return Err(nested.with("name", shown(name)));
        }
        Some(b'n') => {}
        Some(_) | None => cell.push_str(text),
    }
    Ok(())
}
