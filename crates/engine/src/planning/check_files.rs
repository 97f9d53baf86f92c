//! Whether the item files that a workflow names can be read and have its columns, before anything
//! is planned.

use payrun_project::workflow::params::RunValues;
use payrun_project::workflow::render::Renderer;
use payrun_project::workflow::{ItemSource, source, unused_columns};
use payrun_system::errors::chain;

use super::RunRequest;

/// What there is to be told of the files of a workflow.
#[derive(Debug, Default)]
pub struct FileFindings {
    /// What is wrong with them.
    pub wrong: Vec<String>,
    /// How they were understood, where a person should look whether that is right.
    pub notes: Vec<String>,
}

/// What is to be told of the files of a workflow. One that is not there is no mistake: whoever makes
/// it may come later.
pub fn check_files(request: &RunRequest) -> FileFindings {
    let run = RunValues::new(
        &request.workflow.name,
        &request.occurrence,
        "",
        request.at,
        request.timezone,
    );
    let mut findings = FileFindings::default();
    for job in &request.workflow.jobs {
        let ItemSource::File { file, options } = &job.items.source else {
            continue;
        };
        let Ok(path) = request.path_of(file, &request.params) else {
            continue;
        };
        if !path.is_file() {
            let (path, job) = (path.display(), &job.name);
            findings.notes.push(format!(
                "{path}, job {job}: the file is not there, so it was not tried; another one: `payrun plan WORKFLOW --input FILE`"
            ));
            continue;
        }
        let read = source::open(&path, options).map_err(|error| chain(&error));
        let fits = read.and_then(|mut rows| {
            let unused = unused_columns(job, rows.columns(), rows.reading());
            rows.tell_unused(unused);
            let notes = rows.reading().notes().into_iter();
            findings
                .notes
                .extend(notes.map(|note| format!("{}, job {}: {note}", path.display(), job.name)));
            Renderer::new(
                job,
                rows.columns(),
                Some(rows.reading()),
                &run,
                &request.params,
            )
            .map(drop)
            .map_err(|found| found.to_string())
        });
        let wrong = fits.err().map(|what| format!("job {}: {what}", job.name));
        findings.wrong.extend(wrong);
    }
    findings
}
