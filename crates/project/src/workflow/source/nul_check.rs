//! Whether a text has the character U+0000, which no database keeps.

use std::io::{self, Read};

/// How much is looked at at a time.
const CHUNK: usize = 64 * 1024;

/// The first line with U+0000, from 1. `escaped`: it counts as it is written in JSON too.
pub(super) fn line_with_nul(mut file: impl Read, escaped: bool) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; CHUNK];
    // What may be the beginning of an escape is looked at with what follows.
    let (mut kept, mut line) = (0, 1);
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let bytes = &buffer[..kept + read];
        if let Some(at) = nul(bytes, escaped) {
            return Ok(Some(line + newlines(&bytes[..at])));
        }
        if read == 0 {
            return Ok(None);
        }
        let done = if escaped {
            before_escape(bytes)
        } else {
            bytes.len()
        };
        line += newlines(&bytes[..done]);
        let end = bytes.len();
        buffer.copy_within(done..end, 0);
        kept = end - done;
    }
}

/// How it is written in JSON.
const ESCAPED: &[u8] = b"\\u0000";

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Where U+0000 is.
fn nul(bytes: &[u8], escaped: bool) -> Option<usize> {
    let written = || {
        let mut found = bytes
            .windows(ESCAPED.len())
            .enumerate()
            .filter(|(_, part)| *part == ESCAPED);
        // A backslash that is escaped itself begins no escape.
        found
            .find(|(at, _)| backslashes(&bytes[..*at]).is_multiple_of(2))
            .map(|(at, _)| at)
    };
    bytes
        .iter()
        .position(|byte| *byte == 0)
        .or_else(|| if escaped { written() } else { None })
}

/// How many bytes stand before what may be the beginning of an escape, with every backslash before
/// it.
fn before_escape(bytes: &[u8]) -> usize {
    let last = bytes.len().saturating_sub(ESCAPED.len());
    let escape = bytes[last..]
        .iter()
        .position(|byte| *byte == b'\\')
        .map_or(bytes.len(), |at| last + at);
    let before = escape - backslashes(&bytes[..escape]);
    // A line of backslashes only would never be done with.
    if bytes.len() - before > CHUNK / 2 {
        escape
    } else {
        before
    }
}

/// How many stand at the end.
fn backslashes(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rev()
        .take_while(|byte| **byte == b'\\')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn a_nul_is_found_however_the_file_is_cut() {
        for (bytes, escaped, expected) in [
            (&b"id\n1\n"[..], false, None),
            ("id\n\u{9999}\n".as_bytes(), false, None),
            (b"id\n1\n2\0\n", false, Some(3)),
            (b"id\n1\\u0000\n", false, None),
            (b"{}\n{\"a\": \"\\u0000\"}\n", true, Some(2)),
            (b"{}\n{\"a\": \"\\\\u0000\"}\n", true, None),
            (b"{}\n{\"a\": \"\\\\\\u0000\"}\n", true, Some(2)),
        ] {
            for cut in [1, 2, 7, 1000] {
                let told = line_with_nul(Slow(bytes, cut), escaped).unwrap();
                assert_eq!(
                    told,
                    expected,
                    "{:?} in pieces of {cut}",
                    String::from_utf8_lossy(bytes)
                );
            }
        }
        let long = [b"{\"a\": \"".as_slice(), &[b'\\'; 200_000], b"\"}\n\0"].concat();
        assert_eq!(line_with_nul(&long[..], true).unwrap(), Some(2));
    }
}
