//! How people call the columns of their own files: the field of a job that is a column as it stands
//! keeps that column's heading. It is known from the workflow as the run was planned with it, and
//! from the heading line that was read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use super::ExportContext;
use crate::ledger::LedgerError;
use crate::workflow::expression::VariableName;
use crate::workflow::source::FileReading;
use crate::workflow::template::TemplatePart;
use crate::workflow::{ItemSource, Job, Template, Workflow, load};

/// Of how many jobs the workflow is read; the columns of more are called as their fields.
const JOBS_MAX: usize = 500;

/// What the fields of the jobs in a list are called.
#[derive(Debug, Default)]
pub(super) struct OwnHeadings {
    /// By field; none where jobs call it differently.
    headings: BTreeMap<String, Option<String>>,
    /// The fields that the workflows give.
    given: BTreeSet<String>,
    /// Those that are a column of the rows as it stands.
    columns: BTreeSet<String>,
    /// Whether the workflows of all jobs were read.
    is_read: bool,
    /// Whether all jobs were read, so that no other field is given.
    is_whole: bool,
}

impl OwnHeadings {
    /// Of these jobs.
    pub async fn of(context: &ExportContext, jobs: &BTreeSet<i64>) -> Result<Self, LedgerError> {
        let mut found = Self {
            is_read: jobs.len() <= JOBS_MAX,
            is_whole: jobs.len() <= JOBS_MAX,
            ..Self::default()
        };
        let mut workflows: HashMap<String, Option<Workflow>> = HashMap::new();
        for id in jobs.iter().take(JOBS_MAX) {
            let Some(source) = context.ledger.job_source(*id).await? else {
                (found.is_whole, found.is_read) = (false, false);
                continue;
            };
            let workflow = workflows
                .entry(source.workflow.clone())
                .or_insert_with(|| parsed(context, &source.workflow));
            let jobs = workflow.iter().flat_map(|workflow| &workflow.jobs);
            match jobs.into_iter().find(|job| job.name == source.name) {
                Some(job) => {
                    let header = source.file.as_deref().map(header_of).transpose();
                    let header = header.map_err(|_| LedgerError::corrupt("jobs", id, "file"))?;
                    found.job(job, header.as_deref());
                }
                None => (found.is_whole, found.is_read) = (false, false),
            }
        }
        Ok(found)
    }

    fn job(&mut self, job: &Job, header: Option<&[String]>) {
        // The rows of contracts and of other jobs give fields that no workflow names.
        self.is_whole &= matches!(job.items.source, ItemSource::File { .. });
        for (field, template) in &job.with {
            self.given.insert(field.clone());
            let column = column_of(template);
            if column.is_some() {
                self.columns.insert(field.clone());
            }
            // A job that makes the field of something else calls it as payrun does.
            let heading = column.and_then(|column| heading(job, column, header));
            let known = self.headings.entry(field.clone());
            let known = known.or_insert_with(|| heading.clone());
            if *known != heading {
                *known = None;
            }
        }
    }

    /// What people call a field; none where that is not known, or not the same in all jobs.
    pub fn of_field(&self, field: &str) -> Option<&str> {
        self.headings.get(field)?.as_deref()
    }

    /// Whether a field is a column of the rows, and not the same in all of them, or made of others.
    pub fn is_column(&self, field: &str) -> bool {
        !self.is_read || self.columns.contains(field)
    }

    /// Whether some workflow gives a field; a field that none gives has its value by default.
    pub fn is_given(&self, field: &str) -> bool {
        !self.is_whole || self.given.contains(field)
    }
}

fn parsed(context: &ExportContext, workflow: &str) -> Option<Workflow> {
    let path = Path::new("the run's workflow");
    // What no longer fits payrun.yaml only loses its headings.
    load::parse(workflow, path, &context.job_kinds, &context.config).ok()
}

fn header_of(file: &str) -> serde_json::Result<Vec<String>> {
    let reading: FileReading = serde_json::from_str(file)?;
    Ok(reading.header)
}

/// The column that a field is as it stands.
fn column_of(template: &Template) -> Option<&str> {
    match template.parts() {
        [TemplatePart::Name(VariableName::Item(column))] => Some(column),
        _ => None,
    }
}

/// How the file calls a column: by its own name, or by one that the workflow allows.
fn heading(job: &Job, column: &str, header: Option<&[String]>) -> Option<String> {
    let ItemSource::File { options, .. } = &job.items.source else {
        return None;
    };
    let Some(header) = header else {
        return Some(column.to_owned());
    };
    let aliases = options.aliases.iter();
    let aliases = aliases.filter(|alias| alias.column == column);
    let names = aliases.flat_map(|alias| alias.names.iter().map(String::as_str));
    let mut names = std::iter::once(column).chain(names);
    let is_there = |name: &&str| header.iter().any(|heading| heading.trim() == *name);
    let there = names.find(is_there).unwrap_or(column);
    Some(there.to_owned())
}
