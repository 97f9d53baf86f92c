//! What the files of a project say: [`config`] is `payrun.yaml` and its calendars, [`catalog`] the
//! job kinds with their outcome tables, [`workflow`] the workflows and their item files.

pub mod catalog;
pub mod config;
pub mod workflow;
