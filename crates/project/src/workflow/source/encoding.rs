//! The encoding of a text file. UTF-8 is taken where the file is valid UTF-8 to its end, UTF-16
//! where a byte order mark says so, and any other only where it is said. A file of which none of
//! that is true is refused whole: read under a wrong encoding, names and numbers would be others.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use super::file_options::TextEncoding;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// How much is looked at to tell the likely encoding.
const SAMPLE: u64 = 64 * 1024;

/// Why a file cannot be decoded.
pub(super) enum Undecodable {
    /// It is not UTF-8, and nobody said what it is.
    Unsaid {
        /// Where the first line is that is no UTF-8.
        line: u64,
        /// What it may be, the likeliest first.
        likely: Vec<TextEncoding>,
    },
    /// It is not in the encoding that was said, or that its byte order mark says.
    Malformed {
        encoding: TextEncoding,
        /// Where.
        line: u64,
    },
}

impl TextEncoding {
    const fn table(self) -> &'static Encoding {
        match self {
            Self::Utf8 => UTF_8,
            Self::Gb18030 => GB18030,
            Self::Big5 => BIG5,
            Self::Utf16Le => UTF_16LE,
            Self::Utf16Be => UTF_16BE,
        }
    }
}

/// The file as UTF-8, from its beginning, and in which encoding it was. A file that is UTF-8 is not
/// copied.
pub(super) fn decode(
    mut file: File,
    said: Option<TextEncoding>,
) -> io::Result<Result<(File, TextEncoding), Undecodable>> {
    let beginning = beginning(&mut file)?;
    let marked = match Encoding::for_bom(&beginning) {
        Some((encoding, _)) if encoding == UTF_16LE => Some(TextEncoding::Utf16Le),
        Some((encoding, _)) if encoding == UTF_16BE => Some(TextEncoding::Utf16Be),
        _ => None,
    };
    if let Some(encoding) = marked {
        return transcode(file, encoding);
    }
    let wide = unmarked_utf16(&beginning);
    let wrong = match wide {
        Some(_) => Some(1),
        None => first_line_not_utf8(&mut file)?,
    };
    file.rewind()?;
    match (wrong, said.filter(|said| *said != TextEncoding::Utf8)) {
        (None, _) => Ok(Ok((file, TextEncoding::Utf8))),
        (Some(_), Some(said)) => transcode(file, said),
        (Some(line), None) => Ok(Err(Undecodable::Unsaid {
            line,
            likely: wide.map_or_else(|| likely(&beginning), |wide| vec![wide]),
        })),
    }
}

/// The beginning of a file in an encoding, for a person to look at.
pub(super) fn sample(file: &mut File, encoding: TextEncoding) -> io::Result<String> {
    let beginning = beginning(file)?;
    Ok(encoding.table().decode(&beginning).0.into_owned())
}

/// The first bytes; the file is at its beginning afterwards.
fn beginning(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let mut beginning = Vec::new();
    (&*file).take(SAMPLE).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(beginning)
}

/// Without a byte order mark: of text in UTF-16 every other byte of a separator, a digit or a line
/// break is zero.
fn unmarked_utf16(beginning: &[u8]) -> Option<TextEncoding> {
    let zeros = |from: usize| {
        beginning
            .iter()
            .skip(from)
            .step_by(2)
            .filter(|byte| **byte == 0)
            .count()
    };
    let (high, low) = (zeros(0), zeros(1));
    let enough = beginning.len() / 16;
    match (high > enough, low > enough) {
        (false, true) => Some(TextEncoding::Utf16Le),
        (true, false) => Some(TextEncoding::Utf16Be),
        (true, true) | (false, false) => None,
    }
}

fn first_line_not_utf8(file: &mut File) -> io::Result<Option<u64>> {
    let Some(good) = length_in_utf8(file)? else {
        return Ok(None);
    };
    file.rewind()?;
    let (mut before, mut buffer, mut line) = (file.take(good), vec![0; CHUNK], 1);
    loop {
        match before.read(&mut buffer)? {
            0 => return Ok(Some(line)),
            read => line += newlines(&buffer[..read]),
        }
    }
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// How many bytes are UTF-8, up to what is none; nothing if all are.
fn length_in_utf8(file: &mut File) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; CHUNK];
    // What may be the beginning of a character is looked at with what follows.
    let (mut kept, mut good) = (0, 0);
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let end = kept + read;
        let whole = match std::str::from_utf8(&buffer[..end]) {
            Ok(_) if read == 0 => return Ok(None),
            Ok(_) => end,
            Err(error) if error.error_len().is_some() || read == 0 => {
                return Ok(Some(good + error.valid_up_to() as u64));
            }
            Err(error) => error.valid_up_to(),
        };
        good += whole as u64;
        buffer.copy_within(whole..end, 0);
        kept = end - whole;
    }
}

/// Those of the Chinese encodings in which it is text, the one first that a detector takes it for. A
/// short text is often text in both, and only a person sees which is meant.
fn likely(beginning: &[u8]) -> Vec<TextEncoding> {
    let is_text = |encoding: &TextEncoding| {
        let mut decoder = encoding.table().new_decoder_without_bom_handling();
        let mut text = String::with_capacity(beginning.len() * 3 + 16);
        // The last character may be cut.
        let (result, _) = decoder.decode_to_string_without_replacement(beginning, &mut text, false);
        matches!(result, DecoderResult::InputEmpty)
    };
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(beginning, true);
    let is_big5 = detector.guess(None, Utf8Detection::Deny) == BIG5;
    let mut all = vec![TextEncoding::Gb18030, TextEncoding::Big5];
    if is_big5 {
        all.reverse();
    }
    all.retain(is_text);
    all
}

fn transcode(
    mut file: File,
    encoding: TextEncoding,
) -> io::Result<Result<(File, TextEncoding), Undecodable>> {
    let mut decoder = encoding.table().new_decoder_with_bom_removal();
    let mut out = BufWriter::new(tempfile::tempfile()?);
    let (mut input, mut text) = (vec![0; CHUNK], vec![0; 2 * CHUNK]);
    let mut line = 1;
    loop {
        let read = file.read(&mut input)?;
        let mut from = 0;
        loop {
            let (result, taken, written) = decoder.decode_to_utf8_without_replacement(
                &input[from..read],
                &mut text,
                read == 0,
            );
            from += taken;
            out.write_all(&text[..written])?;
            line += newlines(&text[..written]);
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    return Ok(Err(Undecodable::Malformed { encoding, line }));
                }
            }
        }
        if read == 0 {
            break;
        }
    }
    let mut decoded = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    decoded.rewind()?;
    Ok(Ok((decoded, encoding)))
}
