//! How an item file is to be read, as a workflow or a command says it; and how it was understood.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::cell_forms::CellForms;
use super::xlsx::column_letters;
use super::{FileRow, REASON};
use crate::workflow::ItemFileFormat;
use payrun_domain::message::{Message, MessageArgument};
use payrun_domain::text::{DATE_OF_EXCEL, folded, is_date_of_excel, is_rounded_number, shown};

/// How an item file is to be read. What is not said is found out, and what cannot be found out
/// without a guess refuses the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileOptions {
    /// Its format; told from the name if not given.
    pub format: Option<ItemFileFormat>,
    /// The encoding of a text file that is not UTF-8.
    pub encoding: Option<TextEncoding>,
    /// What separates the values of a CSV file.
    pub separator: Option<Separator>,
    /// The line, or row of the sheet, that names the columns, from 1.
    pub header_line: Option<u64>,
    /// Whether rows and columns of a workbook count that are hidden or filtered away.
    pub include_hidden: bool,
    /// What columns are called in the file, where that is not their own name.
    pub aliases: Vec<ColumnAliases>,
    /// The columns that are used.
    pub used: Vec<String>,
    /// Those of them that hold personal data, which no message may show; none: it is not known
    /// which.
    pub personal: Option<Vec<String>>,
    /// Those of them that a file may lack: their values are empty then.
    pub optional: Vec<String>,
    /// The columns that are not meant though they are called like a field.
    pub unused: Vec<String>,
    /// Which heading a person has said is which column of this very file: nothing else is taken for
    /// that column.
    pub chosen: BTreeMap<String, String>,
}

impl FileOptions {
    /// For a file whose columns are known, with nothing said about it.
    pub fn of_columns(columns: &[&str]) -> Self {
        Self {
            used: columns.iter().map(|&column| column.to_owned()).collect(),
            personal: Some(Vec::new()),
            ..Self::default()
        }
    }
}

/// A column, and how else it may be called in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnAliases {
    /// How the workflow names it.
    pub column: String,
    /// How it may be called in the file.
    pub names: Vec<String>,
}

/// How a text file writes characters as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextEncoding {
    /// UTF-8.
    Utf8,
    /// GB18030, with GBK and GB2312.
    Gb18030,
    /// Big5, with the characters of Hong Kong (HKSCS).
    Big5,
    /// UTF-16, the lower byte first.
    Utf16Le,
    /// UTF-16, the higher byte first.
    Utf16Be,
}

impl TextEncoding {
    /// The words for them in YAML and on the command line.
    pub const WORDS: [&str; 6] = ["utf-8", "gb18030", "gbk", "big5", "utf-16le", "utf-16be"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "utf-8" => Some(Self::Utf8),
            "gb18030" | "gbk" => Some(Self::Gb18030),
            "big5" => Some(Self::Big5),
            "utf-16le" => Some(Self::Utf16Le),
            "utf-16be" => Some(Self::Utf16Be),
            _ => None,
        }
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Gb18030 => "gb18030",
            Self::Big5 => "big5",
            Self::Utf16Le => "utf-16le",
            Self::Utf16Be => "utf-16be",
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Gb18030 => "GB18030 (GBK)",
            Self::Big5 => "Big5",
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }
}

/// What separates the values of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Separator {
    /// `,`
    Comma,
    /// `;`
    Semicolon,
    /// A tab.
    Tab,
}

impl Separator {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Comma, Self::Semicolon, Self::Tab];

    /// The words for them in YAML.
    pub const WORDS: [&str; 3] = ["comma", "semicolon", "tab"];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Comma => "comma",
            Self::Semicolon => "semicolon",
            Self::Tab => "tab",
        }
    }

    /// As it stands in the file.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Comma => b',',
            Self::Semicolon => b';',
            Self::Tab => b'\t',
        }
    }
}

/// How many columns that are not used a note names.
const UNUSED_NAMED: usize = 30;

/// From how many digits on three zeros or more stand where Excel rounds.
const SURELY_ROUNDED: usize = 18;

/// How a file was understood. It is kept with the job, so that the same file can be read the same
/// way again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReading {
    /// The file, as people know it.
    pub name: String,
    /// Of a file that was sent here, and whose name is its digest: what it was called where it came
    /// from; none if nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// SHA-256 of its bytes, in hex; none where nobody asks whether it is the same file later.
    pub sha256: Option<String>,
    /// What it is.
    pub kind: FileKind,
    /// The line, or row of the sheet, with the names of the columns, from 1.
    pub header_line: u64,
    /// The names of the columns as they stand there.
    pub header: Vec<String>,
    /// Sheets of the workbook that are not read although nobody said which one is meant.
    #[serde(default)]
    pub other_sheets: Vec<String>,
    /// Hidden sheets of the workbook that have values, and are not read either.
    #[serde(default)]
    pub hidden_sheets: Vec<String>,
    /// Columns of which nothing is made, as they stand there.
    #[serde(default)]
    pub unused: Vec<String>,
    /// Columns that fill nothing but ids, from 0.
    #[serde(default)]
    pub ids: Vec<usize>,
    /// Those of them that stand in the key alone, from 0: a date there is part of the key.
    #[serde(default)]
    pub key_parts: Vec<usize>,
    /// Columns of a CSV file, from 0, that have long numbers of which Excel has not made the end
    /// zeros. They are not kept.
    #[serde(skip)]
    pub whole_numbers: Vec<usize>,
    /// Of a sheet: what the cells of each column are. It is not kept.
    #[serde(skip)]
    pub forms: Vec<CellForms>,
    /// Of a text that is not UTF-8: what it reads, for a person to see whether its encoding is the
    /// one that was said. It is not kept.
    #[serde(skip)]
    pub sample: Option<String>,
    /// Why it is plainly in another encoding, and what to do. It is not kept.
    #[serde(skip)]
    pub doubt: Option<Message>,
}

/// What a file is, with how its text is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// CSV.
    Csv(TextEncoding, Separator),
    /// JSON Lines.
    JsonLines(TextEncoding),
    /// The sheet of a workbook.
    Xlsx(String),
}

impl FileReading {
    /// What reads the same file in the same way.
    pub fn options(&self) -> FileOptions {
        let (format, encoding, separator) = match &self.kind {
            FileKind::Csv(encoding, separator) => {
                (ItemFileFormat::Csv, Some(*encoding), Some(*separator))
            }
            FileKind::JsonLines(encoding) => (ItemFileFormat::JsonLines, Some(*encoding), None),
            FileKind::Xlsx(sheet) => {
                let sheet = Some(sheet.clone());
                (ItemFileFormat::Xlsx { sheet }, None, None)
            }
        };
        let has_lines = !matches!(format, ItemFileFormat::JsonLines);
        FileOptions {
            format: Some(format),
            encoding,
            separator,
            header_line: has_lines.then_some(self.header_line),
            include_hidden: true,
            ..FileOptions::default()
        }
    }
}

impl FileReading {
    /// What to tell people that the file is called.
    pub fn shown_name(&self) -> &str {
        self.called.as_deref().unwrap_or(&self.name)
    }

    /// Whether it was sent here, and is kept by the digest of its content.
    pub fn was_sent(&self) -> bool {
        let digest = self.name.split_once('.').map_or("", |(digest, _)| digest);
        self.called.is_some()
            || (digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// Whether an id in a column of a CSV file looks as Excel leaves a long number. Of one that ends
    /// in one or two zeros the others of the column tell.
    pub fn looks_rounded(&self, column: usize, id: &str) -> bool {
        let can_be_chance = || id.len() < SURELY_ROUNDED && self.whole_numbers.contains(&column);
        let may_be = matches!(self.kind, FileKind::Csv(..)) || self.was_given_out();
        may_be && is_rounded_number(id) && !can_be_chance()
    }

    /// Whether payrun gave the file out, with the rows that are to be mended: as texts, and what
    /// Excel had made of them too.
    fn was_given_out(&self) -> bool {
        self.header.iter().any(|name| name == REASON)
    }

    /// What Excel has made of an id that was typed into a cell: a date, or a number that may have
    /// lost the zeros before it.
    pub fn not_as_typed(&self, column: usize, row: &FileRow, id: &str) -> Option<Message> {
        let is_csv = matches!(self.kind, FileKind::Csv(..));
        let is_date = row.is_date(column) || (is_csv && is_date_of_excel(id));
        if is_date && !self.key_parts.contains(&column) {
            return Some(DATE_OF_EXCEL);
        }
        let forms = self.forms.get(column).filter(|_| row.is_number(column))?;
        forms.doubt(id, self.header_line)
    }

    /// Where a value of this name stands, in brackets: the heading where it is another name, and the
    /// cell where there is a sheet.
    pub fn place(&self, name: &str, column: usize, line: u64) -> Option<Message> {
        let heading = self.header.get(column);
        let heading = heading.filter(|heading| folded(heading) != folded(name));
        let heading = heading.map(|heading| shown(heading));
        match (heading, self.cell(column, line)) {
            (None, None) => None,
            (Some(heading), None) => {
                Some(Message::new("place-column", " (column \"{column}\")").with("column", heading))
            }
            (None, Some(cell)) => {
                Some(Message::new("place-cell", " (cell {cell})").with("cell", cell))
            }
            (Some(heading), Some(cell)) => Some(
                Message::new("place-column-cell", " (column \"{column}\", cell {cell})")
                    .with("column", heading)
                    .with("cell", cell),
            ),
        }
    }

    /// A cell as Excel names it, such as `Sheet1!B7`; none where there is no sheet.
    pub fn cell(&self, column: usize, line: u64) -> Option<String> {
        match &self.kind {
            FileKind::Xlsx(sheet) => Some(cell_name(sheet, column, line)),
            FileKind::Csv(..) | FileKind::JsonLines(_) => None,
        }
    }

    /// The encoding of its text, where it has one.
    pub const fn encoding(&self) -> Option<TextEncoding> {
        match self.kind {
            FileKind::Csv(encoding, _) | FileKind::JsonLines(encoding) => Some(encoding),
            FileKind::Xlsx(_) => None,
        }
    }

    /// Which columns nothing is made of.
    fn unused_told(&self) -> Option<Message> {
        let names: Vec<String> = self
            .unused
            .iter()
            .take(UNUSED_NAMED)
            .map(|name| shown(name))
            .collect();
        if names.is_empty() {
            return None;
        }
        let more = self.unused.len() - names.len();
        let told = if more > 0 {
            Message::new(
                "columns-unused-more",
                "columns not used: {names}, and {more} more",
            )
            .with("more", more)
        } else {
            Message::new("columns-unused", "columns not used: {names}")
        };
        Some(told.with("names", MessageArgument::names(names)))
    }

    /// What a person should look at: what the text reads, whether that is doubtful, and which columns
    /// are not used.
    pub fn notes(&self) -> Vec<Message> {
        let name = self.encoding().map_or("", TextEncoding::name);
        let sample = self.sample.as_ref().map(|sample| {
            Message::new("encoding-reads", "in {encoding} it reads {lines}")
                .with("encoding", name)
                .with("lines", sample)
        });
        let doubt = self.doubt.as_ref().map(|doubt| {
            Message::new("file-look-at-this", "look at this: {doubt}").with("doubt", doubt.clone())
        });
        sample
            .into_iter()
            .chain(doubt)
            .chain(self.unused_told())
            .collect()
    }
}

/// A cell of a sheet as Excel names it.
pub(super) fn cell_name(sheet: &str, column: usize, line: u64) -> String {
    let letters = column_letters(column);
    if sheet.chars().all(char::is_alphanumeric) {
        format!("{sheet}!{letters}{line}")
    } else {
        format!("'{}'!{letters}{line}", shown(sheet))
    }
}

impl FileReading {
    /// How the file was understood.
    pub fn message(&self) -> Message {
        let line = self.header_line;
        match &self.kind {
            FileKind::Csv(encoding, separator) => Message::new(
                "read-as-csv",
                "CSV in {encoding}, separated by {separators}, columns named on line {line}",
            )
            .with("encoding", encoding.name())
            .with(
                "separators",
                match separator {
                    Separator::Comma => Message::new("separator-commas", "commas"),
                    Separator::Semicolon => Message::new("separator-semicolons", "semicolons"),
                    Separator::Tab => Message::new("separator-tabs", "tabs"),
                },
            )
            .with("line", line),
            FileKind::JsonLines(encoding) => {
                Message::new("read-as-json-lines", "JSON Lines in {encoding}")
                    .with("encoding", encoding.name())
            }
            FileKind::Xlsx(sheet) => Message::new(
                "read-as-sheet",
                "sheet \"{sheet}\" of an Excel workbook, columns named in row {line}{others}",
            )
            .with("sheet", shown(sheet))
            .with("line", line)
            .with("others", self.sheets_not_read()),
        }
    }

    fn sheets_not_read(&self) -> Option<Message> {
        let seen = self
            .other_sheets
            .iter()
            .map(|name| Message::new("sheet-seen", "\"{name}\"").with("name", shown(name)));
        let hidden = self.hidden_sheets.iter().map(|name| {
            Message::new("sheet-not-seen", "\"{name}\" (hidden)").with("name", shown(name))
        });
        let all = seen.chain(hidden).reduce(|all, one| {
            Message::new("name-and-name", "{all}, {one}")
                .with("all", all)
                .with("one", one)
        })?;
        let not_read = Message::new(
            "sheets-not-read",
            "; not read: {names} (sheet: beside file: says which is)",
        );
        Some(not_read.with("names", all))
    }
}

impl fmt::Display for FileReading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}
