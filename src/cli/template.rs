//! `payrun template`: an item file without rows, with a note on each column.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rust_xlsxwriter::{DataValidation, Format, Note, Workbook, Worksheet, XlsxError};

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{print_table, say, table};
use crate::app::Project;
use crate::job_kinds::JobKinds;
use crate::workflow::Job;
use crate::workflow::blank_file::{self, BlankColumn, ColumnValues, Language, Requirement};

/// Arguments of `payrun template`.
#[derive(Debug, Args)]
pub(super) struct TemplateArgs {
    /// A job kind, such as refund, or a workflow's file: then its columns as the workflow names
    /// them
    #[arg(value_name = "JOB_KIND|WORKFLOW")]
    name: String,
    /// Which job of the workflow, if several take items from a file
    #[arg(long)]
    job: Option<String>,
    /// In which language columns are named and explained
    #[arg(long, value_enum, default_value_t = Lang::En)]
    lang: Lang,
    /// The file to write: .xlsx, or .csv. If not given, the columns are listed
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    force: bool,
}

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Lang {
    /// English
    En,
    /// Chinese
    Zh,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => Self::En,
            Lang::Zh => Self::Zh,
        }
    }
}

pub(super) fn run(context: &Context, args: &TemplateArgs) -> Result<Exit, Failure> {
    let language = args.lang.into();
    let kinds = JobKinds::built_in();
    let is_file = args.name.ends_with(".yaml") || args.name.ends_with(".yml");
    let (columns, of_kind) = match kinds.by_name.get(&args.name) {
        Some(kind) if !is_file => (blank_file::of_kind(kind, language), true),
        None if !is_file => {
            let names: Vec<&str> = kinds.by_name.keys().map(String::as_str).collect();
            return Err(
                Failure::invalid(format!("there is no job kind {}", args.name)).help(format!(
                    "name one of {}, or the file of a workflow",
                    names.join(", ")
                )),
            );
        }
        _ => {
            let project = Project::open(&context.config)?;
            let workflow = project.workflow(Path::new(&args.name))?;
            let job = job_meant(&workflow.jobs, args.job.as_deref())?;
            let columns = blank_file::of_job(job, language);
            (columns.unwrap_or_default(), false)
        }
    };
    match &args.output {
        None => list(&columns, language),
        Some(path) => {
            write(path, args.force, &columns, language)?;
            say(format!("{} with {} columns", path.display(), columns.len()));
            tell_required(&columns);
        }
    }
    if of_kind {
        tell_names(&columns);
    }
    Ok(Exit::Success)
}

/// The job that is named, or the only one that takes its items from a file.
fn job_meant<'a>(jobs: &'a [Job], name: Option<&str>) -> Result<&'a Job, Failure> {
    let of_files: Vec<&Job> = jobs
        .iter()
        .filter(|job| blank_file::of_job(job, Language::En).is_some())
        .collect();
    let names = || {
        let names: Vec<&str> = of_files.iter().map(|job| job.name.as_str()).collect();
        names.join(", ")
    };
    let meant = match (name, of_files.as_slice()) {
        (Some(name), all) => all.iter().find(|job| job.name == name).copied(),
        (None, [only]) => Some(*only),
        (None, _) => None,
    };
    meant.ok_or_else(|| {
        if of_files.is_empty() {
            Failure::invalid("no job of this workflow takes its items from a file")
        } else {
            Failure::invalid("which job?").help(format!("--job is one of {}", names()))
        }
    })
}

fn list(columns: &[BlankColumn], language: Language) {
    let mut rows = table(&["column", "must be given", "holds", "meaning"]);
    for column in columns {
        rows.add_row([
            column.name.clone(),
            must_be_given(&column.required, language),
            match &column.holds {
                ColumnValues::Text => "text".to_owned(),
                ColumnValues::Date => "date".to_owned(),
                ColumnValues::Amount => "amount".to_owned(),
                ColumnValues::Choice(words) => words.join(", "),
            },
            column.doc.clone(),
        ]);
    }
    print_table(&rows);
}

/// A job kind's fields are no columns of a workflow yet: what to write there.
fn tell_names(columns: &[BlankColumn]) {
    let others: Vec<String> = columns
        .iter()
        .filter(|column| column.name != column.column)
        .map(|column| format!("{}: {}", column.column, column.name))
        .collect();
    let columns = if others.is_empty() {
        String::new()
    } else {
        format!("items: {{ columns: {{ {} }} }} and ", others.join(", "))
    };
    say(format!(
        "a workflow takes such a file with {columns}with: {{ FIELD: \"{{{{ item.FIELD }}}}\" }} for each field"
    ));
}

/// What must be filled in: a CSV has no notes.
fn tell_required(columns: &[BlankColumn]) {
    let needed = |column: &BlankColumn| match &column.required {
        Requirement::Always => Some(column.name.clone()),
        Requirement::OneOf(names) => Some(format!("exactly one of {}", names.join(", "))),
        Requirement::With(_) | Requirement::Never => None,
    };
    let mut names: Vec<String> = columns.iter().filter_map(needed).collect();
    names.dedup();
    if !names.is_empty() {
        say(format!("every row must have: {}", names.join("; ")));
    }
}

/// Whether a column must be filled in, in a few words.
fn must_be_given(required: &Requirement, language: Language) -> String {
    match (required, language) {
        (Requirement::Never, _) => String::new(),
        (Requirement::Always, Language::En) => "yes".to_owned(),
        (Requirement::Always, Language::Zh) => "是".to_owned(),
        (Requirement::OneOf(names), Language::En) => format!("one of {}", names.join(", ")),
        (Requirement::OneOf(names), Language::Zh) => format!("只填其一：{}", names.join("、")),
        (Requirement::With(names), Language::En) => format!("together with {}", names.join(", ")),
        (Requirement::With(names), Language::Zh) => format!("须与{}同时填写", names.join("、")),
    }
}

/// What a column means, with whether it must be filled in.
fn explained(column: &BlankColumn, language: Language) -> String {
    let must = must_be_given(&column.required, language);
    match (must.as_str(), language) {
        ("", _) => column.doc.clone(),
        (must, Language::En) => format!("Must be given: {must}. {}", column.doc),
        (must, Language::Zh) => format!("必填：{must}。{}", column.doc),
    }
}

fn write(
    path: &Path,
    force: bool,
    columns: &[BlankColumn],
    language: Language,
) -> Result<(), Failure> {
    let extension = path.extension().and_then(|end| end.to_str());
    let bytes = match extension {
        Some("xlsx") => xlsx(columns, language)
            .map_err(|error| Failure::invalid(format!("the workbook cannot be made: {error}")))?,
        Some("csv") => csv(columns),
        _ => {
            return Err(Failure::invalid(format!(
                "{}: a template is written as .xlsx or .csv",
                path.display()
            )));
        }
    };
    super::export_file::write_whole(path, force, &bytes)
}

/// With a byte order mark, by which Excel knows UTF-8.
fn csv(columns: &[BlankColumn]) -> Vec<u8> {
    let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    format!("\u{feff}{}\r\n", names.join(",")).into_bytes()
}

/// The most rows of a sheet that have a list of words to choose from.
const ROWS: u32 = 10_000;

fn xlsx(columns: &[BlankColumn], language: Language) -> Result<Vec<u8>, XlsxError> {
    let (rows, notes) = match language {
        Language::En => ("rows", "notes"),
        Language::Zh => ("数据", "说明"),
    };
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet().set_name(rows)?;
    let bold = Format::new().set_bold();
    sheet.set_freeze_panes(1, 0)?;
    for (column, at) in columns.iter().zip(0_u16..) {
        fill(sheet, at, column, (&bold, language))?;
    }
    let sheet = workbook.add_worksheet().set_name(notes)?;
    let header = match language {
        Language::En => ["column", "must be given", "meaning"],
        Language::Zh => ["列名", "必填", "说明"],
    };
    for (text, at) in header.iter().zip(0_u16..) {
        sheet.write_string_with_format(0, at, *text, &bold)?;
    }
    for (column, row) in columns.iter().zip(1_u32..) {
        sheet.write_string(row, 0, &column.name)?;
        sheet.write_string(row, 1, must_be_given(&column.required, language))?;
        sheet.write_string(row, 2, &column.doc)?;
    }
    sheet
        .set_column_width(0, 24)?
        .set_column_width(1, 30)?
        .set_column_width(2, 100)?;
    workbook.save_to_buffer()
}

/// Its header with a note, and a format for what is typed below: a number of an order stays text.
fn fill(
    sheet: &mut Worksheet,
    at: u16,
    column: &BlankColumn,
    (bold, language): (&Format, Language),
) -> Result<(), XlsxError> {
    let format = match column.holds {
        ColumnValues::Text | ColumnValues::Choice(_) => Format::new().set_num_format("@"),
        ColumnValues::Date => Format::new().set_num_format("yyyy-mm-dd"),
        ColumnValues::Amount => Format::new().set_num_format("0.00"),
    };
    sheet.set_column_format(at, &format)?;
    sheet.set_column_width(at, 20)?;
    sheet.write_string_with_format(0, at, &column.name, bold)?;
    let note = Note::new(explained(column, language))
        .add_author_prefix(false)
        .set_width(300);
    sheet.insert_note(0, at, &note)?;
    if let ColumnValues::Choice(words) = &column.holds
        // Excel keeps no longer list within a cell.
        && words.iter().map(|word| word.len() + 1).sum::<usize>() <= 255
    {
        let choice = DataValidation::new().allow_list_strings(words)?;
        sheet.add_data_validation(1, at, ROWS, at, &choice)?;
    }
    Ok(())
}
