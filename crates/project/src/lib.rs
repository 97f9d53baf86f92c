//! What the files of a project say: [`config`] is `payrun.yaml` and its calendars, [`job_kinds`]
//! the job kinds with their outcome tables, [`workflow`] the workflows and their item files.

pub mod config;
pub mod job_kinds;
#[cfg(feature = "mutation")]
mod mutation;
pub mod workflow;
