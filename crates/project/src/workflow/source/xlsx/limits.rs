//! What a workbook may hold, counted before anything is made of it: a small file may unpack to more
//! than any memory has, and say otherwise. So it is unpacked once, and of the parts that are read
//! as a whole the elements are counted.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use super::NO_WORKBOOK;
use payrun_domain::message::Message;

/// The most bytes a file may unpack to.
const UNPACKED_MAX: u64 = 1024 * 1024 * 1024;

/// The most parts of a file.
const PARTS_MAX: usize = 10_000;

/// The most rows of a sheet, as Excel has them, and the most cells, with those that are empty. Any
/// part may be a sheet.
const ROWS_MAX: u64 = 1_048_576;
const CELLS_MAX: u64 = 16_000_000;

/// A part that is in memory as a whole: the texts of all cells, the formats, the list of sheets.
struct BoundedPart {
    /// How its name ends.
    name: &'static str,
    /// The most bytes of it.
    bytes: u64,
    /// The element that makes it large, and the most of them.
    element: &'static [u8],
    most: u64,
    /// What each of these and each byte of it take in memory.
    each: u64,
    each_byte: u64,
    too_much: Message,
}

static WHOLE: [BoundedPart; 4] = [
    BoundedPart {
        name: "sharedstrings.xml",
        bytes: 64 * 1024 * 1024,
        element: b"si",
        most: 2_000_000,
        each: 80,
        each_byte: 2,
        too_much: Message::new(
            "workbook-texts",
            "the workbook has more than 2,000,000 different texts, or 64 MiB of them; split it, or save it as CSV",
        ),
    },
    BoundedPart {
        name: "styles.xml",
        bytes: 16 * 1024 * 1024,
        element: b"xf",
        // Excel has 65,490 for cells, and as many for styles.
        most: 200_000,
        each: 1_024,
        each_byte: 2,
        too_much: Message::new(
            "workbook-formats",
            "the workbook has more cell formats than Excel allows; copy its values into a new workbook, or save it as CSV",
        ),
    },
    BoundedPart {
        name: "workbook.xml",
        bytes: 16 * 1024 * 1024,
        element: b"sheet",
        most: 1_000,
        each: 1_024,
        each_byte: 2,
        too_much: Message::new(
            "workbook-sheets",
            "the workbook has more than 1,000 sheets, or 16 MiB of names; copy the sheet into a new workbook",
        ),
    },
    BoundedPart {
        name: ".rels",
        bytes: 4 * 1024 * 1024,
        element: b"Relationship",
        most: 20_000,
        each: 1_024,
        each_byte: 2,
        too_much: Message::new(
            "workbook-links",
            "the workbook has more than 20,000 links between its parts; copy the sheet into a new workbook",
        ),
    },
];

/// Says how much memory its parts may take when they are read, in bytes.
pub(super) fn check(file: &File) -> Result<u64, Message> {
    check_up_to(file, UNPACKED_MAX)
}

fn check_up_to(mut file: &File, max: u64) -> Result<u64, Message> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|_| NO_WORKBOOK)?;
    if archive.len() > PARTS_MAX {
        return Err(Message::new(
            "workbook-parts",
            "the workbook has more than 10,000 parts; copy the sheet into a new workbook",
        ));
    }
    let (mut left, mut need) = (max, 0);
    let mut names = HashSet::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| NO_WORKBOOK)?;
        let name = entry.name().map_err(|_| NO_WORKBOOK)?.to_ascii_lowercase();
        // Excel and LibreOffice take no notice of capitals: which of two is read is anybody's guess.
        if !names.insert(name.clone()) {
            return Err(Message::new(
                "workbook-two-parts",
                "the workbook has two parts of one name, {name}, of which programs read one or the other; save it in Excel anew",
            )
            .with("name", name));
        }
        let whole = WHOLE.iter().find(|whole| name.ends_with(whole.name));
        let mut counted = match whole {
            Some(whole) => ElementCounter::of([whole.element, b""]),
            None => ElementCounter::of([b"row", b"c"]),
        };
        counted.is_text = name.starts_with("xl/") && name.ends_with(".xml");
        let most = whole.map_or(left, |whole| left.min(whole.bytes + 1));
        let read = io::copy(&mut entry.take(most), &mut counted).map_err(|_| NO_WORKBOOK)?;
        left = left.saturating_sub(read);
        if left == 0 {
            return Err(Message::new(
                "workbook-unpacks",
                "the workbook unpacks to more than 1 GiB; split it, or save it as CSV",
            ));
        }
        counted.finish();
        if counted.has_nul {
            return Err(Message::new(
                "workbook-nul",
                "the workbook has the character U+0000 in a text; take it out, and save the workbook in Excel anew",
            ));
        }
        let Some(whole) = whole else {
            let [rows, cells] = counted.elements;
            if rows > ROWS_MAX {
                return Err(Message::new(
                    "workbook-rows",
                    "a sheet of the workbook has more than 1,048,576 rows; split it, or save it as CSV",
                ));
            }
            if cells > CELLS_MAX {
                return Err(Message::new(
                    "workbook-cells",
                    "a sheet of the workbook has more than 16,000,000 cells; split it, or save it as CSV",
                ));
            }
            continue;
        };
        let elements = counted.most();
        if read > whole.bytes || elements > whole.most {
            return Err(whole.too_much.clone());
        }
        need += elements * whole.each + read * whole.each_byte;
    }
    file.rewind().map_err(|_| NO_WORKBOOK)?;
    Ok(need)
}

/// Counts elements of two names, whatever their prefix, remembers the largest `uniqueCount`, as
/// which room is reserved, and whether a text has U+0000.
struct ElementCounter {
    names: [&'static [u8]; 2],
    elements: [u64; 2],
    is_text: bool,
    has_nul: bool,
    declared: u64,
    /// The end of what was written before, which may be the beginning of a name.
    before: Vec<u8>,
}

/// How the number of texts is declared.
const DECLARED: &[u8] = b"uniqueCount";

/// How Excel writes U+0000 in a text; and a low line that begins no such writing.
const NUL: &[u8] = b"_x0000_";
const LOW_LINE: &[u8] = b"_x005F";

/// The longest that has to be seen in one piece: a declaration with blanks in it.
const SEEN: usize = 64;

impl ElementCounter {
    const fn of(names: [&'static [u8]; 2]) -> Self {
        Self {
            names,
            elements: [0; 2],
            is_text: false,
            has_nul: false,
            declared: 0,
            before: Vec::new(),
        }
    }

    /// When all is written.
    fn finish(&mut self) {
        let rest = std::mem::take(&mut self.before);
        self.look(&rest, rest.len());
    }

    /// How many of the first there are, or are said to be.
    fn most(&self) -> u64 {
        self.elements[0].max(self.declared)
    }

    /// Looks at what begins within the first `until` bytes.
    fn look(&mut self, bytes: &[u8], until: usize) {
        for (at, byte) in bytes[..until].iter().enumerate() {
            match byte {
                b'<' | b':' => {
                    let rest = &bytes[at + 1..];
                    if begins(rest, self.names[0]) {
                        self.elements[0] += 1;
                    } else if begins(rest, self.names[1]) {
                        self.elements[1] += 1;
                    }
                }
                0 => self.has_nul |= self.is_text,
                b'_' if self.is_text && bytes[at..].starts_with(NUL) => {
                    self.has_nul |= !bytes[..at].ends_with(LOW_LINE);
                }
                b'u' if bytes[at..].starts_with(DECLARED) => {
                    let digits = bytes[at + DECLARED.len()..]
                        .iter()
                        .skip_while(|b| !b.is_ascii_digit() && **b != b'>');
                    let digits = digits.take_while(|b| b.is_ascii_digit());
                    let number = digits.fold(0_u64, |n, b| {
                        n.saturating_mul(10).saturating_add(u64::from(b - b'0'))
                    });
                    self.declared = self.declared.max(number);
                }
                _ => {}
            }
        }
    }
}

/// Whether an element of this name begins here.
fn begins(bytes: &[u8], name: &[u8]) -> bool {
    let ends = |byte: Option<&u8>| {
        byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-' && *byte != b'_')
    };
    !name.is_empty() && bytes.starts_with(name) && ends(bytes.get(name.len()))
}

impl io::Write for ElementCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut seen = std::mem::take(&mut self.before);
        seen.extend_from_slice(bytes);
        let until = seen.len().saturating_sub(SEEN);
        self.look(&seen, until);
        seen.drain(..until);
        self.before = seen;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    #[test]
    fn two_parts_whose_names_differ_by_capitals_are_refused() {
        let sheets: &[(&str, &[u8])] = &[
            ("xl/worksheets/sheet1.xml", b"<row/>"),
            ("xl/worksheets/SHEET1.xml", b"<row/>"),
        ];
        let refused = check(&zipped(sheets)).unwrap_err();
        assert_eq!(refused.id(), Some("workbook-two-parts"));
        assert!(check(&zipped(&sheets[..1])).is_ok());
    }

    fn zipped(entries: &[(&str, &[u8])]) -> File {
        let mut archive = zip::ZipWriter::new(tempfile::tempfile().unwrap());
        for (name, entry) in entries {
            archive
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            archive.write_all(entry).unwrap();
        }
        let mut file = archive.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn what_a_file_unpacks_to_is_counted_over_all_its_parts() {
        let parts: &[(&str, &[u8])] = &[("0", &[0; 60_000]), ("1", &[0; 40_000])];
        assert!(zipped(parts).metadata().unwrap().len() < 1_000);
        assert_eq!(check_up_to(&zipped(parts), 100_001), Ok(0));
        let too_much = check_up_to(&zipped(parts), 100_000)
            .unwrap_err()
            .to_string();
        assert!(
            too_much.contains("unpacks to more than 1 GiB"),
            "{too_much}"
        );
    }

    #[test]
    fn elements_are_counted_whatever_their_prefix_and_however_they_are_cut() {
        let text =
            b"<x:s uniqueCount = '70'><x:si/><si><t>a</t></si>  <size/><si attribute=\"1\"/>";
        for piece in [1, 3, text.len()] {
            let mut counted = ElementCounter::of([b"si", b"size"]);
            text.chunks(piece)
                .for_each(|bytes| counted.write_all(bytes).unwrap());
            counted.finish();
            assert_eq!(counted.most(), 70, "pieces of {piece}");
            let mut counted = ElementCounter::of([b"si", b"size"]);
            text[22..]
                .chunks(piece)
                .for_each(|bytes| counted.write_all(bytes).unwrap());
            counted.finish();
            assert_eq!(counted.elements, [3, 1], "pieces of {piece}");
        }
    }
}
