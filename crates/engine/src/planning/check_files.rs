//! Whether the item files that a workflow names can be read and have its columns, before anything
//! is planned.

use payrun_project::workflow::params::RunValues;
use payrun_project::workflow::render::Renderer;
use payrun_project::workflow::{ItemSource, source};
use payrun_system::errors::chain;

use super::RunRequest;

/// What is wrong with the files that are there. One that is not there yet is none of it: whoever
/// makes it may come later.
pub fn wrong_files(request: &RunRequest) -> Vec<String> {
    let run = RunValues::new(
        &request.workflow.name,
        &request.occurrence,
        "",
        request.at,
        request.timezone,
    );
    let mut wrong = Vec::new();
    for job in &request.workflow.jobs {
        let ItemSource::File { file, options } = &job.items.source else {
            continue;
        };
        let Ok(path) = request.path_of(file, &request.params) else {
            continue;
        };
        if !path.is_file() {
            continue;
        }
        let read = source::open(&path, options).map_err(|error| chain(&error));
        let fits = read.and_then(|rows| {
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
        wrong.extend(fits.err().map(|what| format!("job {}: {what}", job.name)));
    }
    wrong
}
