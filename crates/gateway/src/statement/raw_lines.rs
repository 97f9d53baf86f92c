//! The file as lines of text: bounded, numbered, UTF-8. Knows nothing of columns.

use std::io::{BufRead, Read as _};

use super::FileError;

/// The longest line, in bytes without its end.
pub const LINE_MAX: usize = 64 * 1024;

/// A line as it stands in the file, without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RawLine {
    pub number: u64,
    pub text: String,
}

impl RawLine {
    /// An error at a character of this line, from 1.
    pub(super) fn error(&self, column: u64, what: impl Into<String>) -> FileError {
        FileError {
            line: self.number,
            column,
            what: what.into(),
        }
    }
}

/// The lines of a file. Empty lines may stand at its end only.
#[derive(Debug)]
pub(super) struct RawLines<R> {
    file: R,
    number: u64,
}

impl<R: BufRead> RawLines<R> {
    pub(super) const fn new(file: R) -> Self {
        Self { file, number: 0 }
    }

    /// The next line that is not empty; none at the end.
    ///
    /// # Errors
    /// A line that is too long, no UTF-8, or follows an empty one.
    pub(super) fn next(&mut self) -> Result<Option<RawLine>, FileError> {
        let mut empty = false;
        while let Some(raw) = self.any()? {
            if raw.text.is_empty() {
                empty = true;
            } else if empty {
                return Err(raw.error(1, "a line follows an empty one"));
            } else {
                return Ok(Some(raw));
            }
        }
        Ok(None)
    }

    /// The next line, which must be there.
    pub(super) fn must(&mut self, what: &str) -> Result<RawLine, FileError> {
        let missing = FileError {
            line: self.number + 1,
            column: 1,
            what: format!("the file ends before its {what}"),
        };
        self.next()?.ok_or(missing)
    }

    fn any(&mut self) -> Result<Option<RawLine>, FileError> {
        let number = self.number + 1;
        let error = |column, what: &str| FileError {
            line: number,
            column,
            what: what.to_owned(),
        };
        let most = u64::try_from(LINE_MAX).unwrap_or(u64::MAX) + 2;
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(most).read_until(b'\n', &mut bytes);
        if read.map_err(|_| error(1, "the file cannot be read further"))? == 0 {
            return Ok(None);
        }
        self.number = number;
        if bytes.last() == Some(&b'\n') {
            bytes.pop();
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if bytes.len() > LINE_MAX {
            return Err(error(1, "the line is longer than 64 KiB"));
        }
        let text = String::from_utf8(bytes).map_err(|broken| {
            let whole =
                String::from_utf8_lossy(&broken.as_bytes()[..broken.utf8_error().valid_up_to()]);
            error(chars(&whole) + 1, "this is not UTF-8")
        })?;
        let text = if number == 1 {
            text.strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text)
        } else {
            text
        };
        Ok(Some(RawLine { number, text }))
    }
}

/// How many characters a text has.
pub(super) fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}
