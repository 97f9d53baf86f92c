//! The workflows in force: the valid files of a folder, taken up when they change. A file that became invalid leaves its last valid
//! version in force, and is told of with its diagnostics; a folder that cannot be read leaves all of it in force. A file that is gone
//! takes its workflow with it, and that is told too: it may have been meant, and it may be a disk that is away. A run keeps the
//! version that it was planned with.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::Service;
use crate::catalog::Catalog;
use crate::config::Config;
use crate::workflow::{Workflow, load};

/// How often the folder is looked at.
const TICK: Duration = Duration::from_secs(1);

/// The workflows of a folder.
#[derive(Debug)]
pub struct Workflows {
    config: Arc<Config>,
    catalog: Arc<Catalog>,
    known: Mutex<Known>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    files: HashMap<PathBuf, File>,
    /// In force, by name.
    valid: BTreeMap<String, Arc<Workflow>>,
    /// What is wrong, by file.
    refused: BTreeMap<PathBuf, String>,
    /// Why the folder could not be read when it was last looked at.
    unread: Option<String>,
    /// Files that were there before, and their workflows.
    gone: BTreeMap<PathBuf, String>,
    /// Workflows of which another process has another schedule.
    elsewhere: Vec<String>,
}

/// A file as it was when it was last read.
#[derive(Debug)]
struct File {
    seen: Option<(SystemTime, u64)>,
    /// Its last valid version.
    workflow: Option<Arc<Workflow>>,
    mistakes: Option<String>,
}

impl Workflows {
    /// Those of the configuration's folder, as they are now.
    pub fn new(config: &Arc<Config>, catalog: &Arc<Catalog>) -> Self {
        let workflows = Self::none(config, catalog);
        workflows.look();
        workflows
    }

    /// None, until somebody looks.
    pub fn none(config: &Arc<Config>, catalog: &Arc<Catalog>) -> Self {
        let (config, catalog) = (Arc::clone(config), Arc::clone(catalog));
        Self { config, catalog, known: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Those in force, by name.
    pub fn all(&self) -> Vec<Arc<Workflow>> {
        self.known().valid.values().cloned().collect()
    }

    /// One of them.
    pub fn named(&self, name: &str) -> Option<Arc<Workflow>> {
        self.known().valid.get(name).cloned()
    }

    /// What is not taken up, by file or folder, and why.
    pub fn refused(&self) -> BTreeMap<PathBuf, String> {
        let known = self.known();
        let mut refused = known.refused.clone();
        // One that has another name now is not gone.
        let gone = known.gone.iter().filter(|(_, name)| !known.valid.contains_key(*name));
        refused.extend(gone.map(|(path, name)| {
            (path.clone(), format!("{}: the file is gone, and the workflow {name} runs no more", path.display()))
        }));
        refused.extend(known.unread.clone().map(|why| (self.config.workflows.clone(), why)));
        for name in &known.elsewhere {
            let has_it = |(_, file): &(&PathBuf, &File)| file.workflow.as_ref().is_some_and(|one| one.name == *name);
            let Some((path, _)) = known.files.iter().find(has_it) else { continue };
            let why = format!(
                "{}: another process has another schedule of the workflow {name}, taken up later, which counts; give all \
                 processes the same file",
                path.display()
            );
            refused.insert(path.clone(), why);
        }
        refused
    }

    /// Takes note of the workflows of which another process has another schedule.
    pub fn is_elsewhere(&self, names: Vec<String>) {
        let mut known = self.known();
        if known.elsewhere != names {
            for name in &names {
                tracing::error!(
                    workflow.name = name,
                    "another process has another schedule of this workflow, which counts"
                );
            }
            known.elsewhere = names;
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Counts every time that something was taken up or refused.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Looks at the folder, reads what has changed, and takes it up if it is valid.
    pub fn look(&self) {
        let read = load::files(&self.config.workflows);
        let mut known = self.known();
        let paths = match read {
            Ok(paths) => paths,
            Err(error) => {
                let why = format!("the folder {} cannot be read: {error}", self.config.workflows.display());
                if known.unread.as_ref() != Some(&why) {
                    tracing::error!(why, "what was in force stays in force");
                    known.unread = Some(why);
                    drop(known);
                    self.changes.send_modify(|count| *count += 1);
                }
                return;
            }
        };
        let mut changed = known.unread.take().is_some();
        let gone: Vec<PathBuf> = known.files.keys().filter(|path| !paths.contains(path)).cloned().collect();
        for path in gone {
            tracing::warn!(file = %path.display(), "a workflow file is gone");
            let workflow = known.files.remove(&path).and_then(|file| file.workflow);
            known.gone.extend(workflow.map(|workflow| (path, workflow.name.clone())));
            changed = true;
        }
        for path in paths {
            let seen = stamp(&path);
            known.gone.remove(&path);
            if known.files.get(&path).is_some_and(|file| file.seen == seen) {
                continue;
            }
            let before = known.files.remove(&path).and_then(|file| file.workflow);
            known.files.insert(path.clone(), self.read(&path, seen, before));
            changed = true;
        }
        if changed {
            known.sort();
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    fn read(&self, path: &Path, seen: Option<(SystemTime, u64)>, before: Option<Arc<Workflow>>) -> File {
        match load::load(path, &self.catalog, &self.config) {
            Ok(workflow) => {
                tracing::info!(workflow.name = workflow.name, file = %path.display(), "a workflow is taken up");
                File { seen, workflow: Some(Arc::new(workflow)), mistakes: None }
            }
            Err(mistakes) => {
                let now = if before.is_some() { "its last valid version stays in force" } else { "nothing of it runs" };
                tracing::error!(file = %path.display(), %mistakes, now, "a workflow is refused");
                File { seen, workflow: before, mistakes: Some(mistakes.to_string()) }
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Puts together what is in force. Of two files with the same workflow only the first counts.
    fn sort(&mut self) {
        let mut files: Vec<(&PathBuf, &File)> = self.files.iter().collect();
        files.sort_by_key(|(path, _)| *path);
        (self.valid, self.refused) = (BTreeMap::new(), BTreeMap::new());
        for (path, file) in files {
            if let Some(mistakes) = &file.mistakes {
                self.refused.insert(path.clone(), mistakes.clone());
            }
            let Some(workflow) = &file.workflow else { continue };
            if self.valid.contains_key(&workflow.name) {
                let why = format!("{}: another file has the workflow {} too", path.display(), workflow.name);
                tracing::error!(why, "a workflow is refused");
                self.refused.insert(path.clone(), why);
                continue;
            }
            self.valid.insert(workflow.name.clone(), Arc::clone(workflow));
        }
    }
}

/// By what a change is noticed.
fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

pub(super) async fn keep(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    super::duty::keep(&health, "workflows", stop, || async {
        let workflows = Arc::clone(&service.workflows);
        // Files are read, which a task must not do.
        tokio::task::spawn_blocking(move || workflows.look()).await.ok();
        Ok(TICK)
    })
    .await;
}
