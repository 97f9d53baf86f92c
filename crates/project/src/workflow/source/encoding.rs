//! The encoding of a text file. UTF-8 is taken where the file is valid UTF-8 to its end, UTF-16
//! where a byte order mark says so, and any other only where it is said. A file of which none of
//! that is true is refused whole: read under a wrong encoding, names and numbers would be others.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt as _;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, DecoderResult, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use super::file_options::TextEncoding;

/// How much is read at a time.
const CHUNK: usize = 64 * 1024;

/// How much is looked at to tell the likely encoding.
const SAMPLE: usize = 64 * 1024;

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

/// The beginning of a file in an encoding, for a person to look at. Whoever reads the file is not
/// disturbed.
pub(super) fn sample(file: &File, encoding: TextEncoding) -> io::Result<String> {
    let beginning = looked_at(file)?;
    Ok(encoding.table().decode(&beginning).0.into_owned())
}

/// The first bytes; the file is at its beginning afterwards.
fn beginning(file: &mut File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    looked_at(file)
}

/// The first bytes, wherever the file is read at.
fn looked_at(file: &File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut read) = (vec![0; SAMPLE], 0);
    loop {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
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

/// The others than this one in which it is text, and in which a header is worth looking for.
pub(super) fn others(file: &File, than: TextEncoding) -> io::Result<Vec<TextEncoding>> {
    let beginning = looked_at(file)?;
    let mut others =
        unmarked_utf16(&beginning).map_or_else(|| likely(&beginning), |wide| vec![wide]);
    others.retain(|other| *other != than);
    Ok(others)
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

/// How many characters tell which encoding a text is in, at least.
const TELLING: usize = 4;

/// The encoding that a text is in by its look, where that is plainly another one than was said: of
/// what is written in one of the two Chinese encodings most characters are common ones, and read in
/// the other many are not.
pub(super) fn likelier(file: &File, said: TextEncoding) -> io::Result<Option<TextEncoding>> {
    let beginning = looked_at(file)?;
    let other = match said {
        TextEncoding::Gb18030 => TextEncoding::Big5,
        TextEncoding::Big5 => TextEncoding::Gb18030,
        TextEncoding::Utf16Le | TextEncoding::Utf16Be
            if Encoding::for_bom(&beginning).is_none() =>
        {
            let is_wide = unmarked_utf16(&beginning) == Some(said);
            return Ok(likely(&beginning).first().copied().filter(|_| !is_wide));
        }
        TextEncoding::Utf16Le | TextEncoding::Utf16Be | TextEncoding::Utf8 => return Ok(None),
    };
    let (unusual, of) = uncommon(&beginning, said);
    let (unusual_in_other, of_other) = uncommon(&beginning, other);
    let is_plain = of.min(of_other) >= TELLING
        && unusual * 4 >= of
        && unusual_in_other * 10 <= of_other
        && likely(&beginning).contains(&other);
    Ok(is_plain.then_some(other))
}

/// How many characters of two bytes are none of the common ones, in which both encodings are in
/// the order of their first byte, and how many there are.
fn uncommon(text: &[u8], encoding: TextEncoding) -> (usize, usize) {
    let is_common = |first: u8, second: u8| match encoding {
        // GB 2312: signs, and the characters of level 1.
        TextEncoding::Gb18030 => matches!(first, 0xa1..=0xa3 | 0xb0..=0xd7) && second >= 0xa1,
        // Signs, and the characters of level 1.
        TextEncoding::Big5 => matches!(first, 0xa1..=0xc6),
        TextEncoding::Utf8 | TextEncoding::Utf16Le | TextEncoding::Utf16Be => true,
    };
    let (mut uncommon, mut all) = (0, 0);
    let mut bytes = text.iter().copied();
    while let Some(first) = bytes.next() {
        if first.is_ascii() {
            continue;
        }
        let Some(second) = bytes.next() else { break };
        // Four bytes of GB18030, the last two of which are in the range of the first two.
        if encoding == TextEncoding::Gb18030 && second.is_ascii_digit() {
            bytes.nth(1);
        }
        all += 1;
        uncommon += usize::from(!is_common(first, second));
    }
    (uncommon, all)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn likelier_of(text: &str, written: TextEncoding, said: TextEncoding) -> Option<TextEncoding> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&written.table().encode(text).0).unwrap();
        likelier(&file, said).unwrap()
    }

    #[test]
    fn text_that_is_plainly_in_the_other_encoding_is_told_and_no_other() {
        use TextEncoding::{Big5, Gb18030, Utf16Le};
        let traditional = [
            "訂單號,姓名\n1,陳大文",
            "基礎會員",
            "商品名稱,數量,收貨人\n嬰兒奶粉三段,2,李小明\n保濕面霜,1,黃志強",
        ];
        let simplified = [
            "订单号,姓名\n1,陈大文",
            "基础会员",
            "商品名称,数量,收货人\n婴儿奶粉三段,2,李小明\n保湿面霜,1,黄志强",
        ];
        for text in traditional {
            assert_eq!(likelier_of(text, Big5, Gb18030), Some(Big5), "{text}");
            assert_eq!(likelier_of(text, Big5, Big5), None, "{text}");
            // GB18030 has these too, and Big5 makes nothing of it.
            assert_eq!(likelier_of(text, Gb18030, Gb18030), None, "{text}");
        }
        for text in simplified {
            assert_eq!(likelier_of(text, Gb18030, Gb18030), None, "{text}");
            assert_eq!(likelier_of(text, Gb18030, Utf16Le), Some(Gb18030), "{text}");
        }
        assert_eq!(likelier_of("香港旺角", Big5, Gb18030), Some(Big5));
        assert_eq!(
            likelier_of("翡翠饰品璀璨镶嵌犀牛骐骥甄嬛", Gb18030, Gb18030),
            None
        );
        assert_eq!(
            likelier_of("会员", Gb18030, Big5),
            None,
            "too short to tell"
        );
        assert_eq!(likelier_of("id,amount\n1,2", Gb18030, Big5), None);
    }
}
