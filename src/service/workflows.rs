//! The workflows in force: the valid files of a folder, taken up when they change. A file that
//! became invalid leaves its last valid version in force, and is told of with its diagnostics; a
//! folder that cannot be read leaves all of it in force. A run keeps the version that it was
//! planned with.
//!
//! A workflow that no file has any more is paused: it may have been taken out for good, and it may
//! be a disk that is away. Until a person has decided about what it has open, nothing new of it is
//! sent; if its file comes back before, the pause is over.
//!
//! So it is with the calendars that their schedules ask; but one of which the file is gone stays in
//! force, and is told of.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::Service;
use crate::config::Config;
use crate::config::calendars::{self, CalendarFiles, Calendars};
use crate::domain::time::Timestamp;
use crate::engine::operator::{REPLACED, has_workflow};
use crate::job_kinds::JobKinds;
use crate::ledger::{LedgerError, decide_about};
use crate::workflow::{Workflow, load};
use crate::yaml::diagnostics::Diagnostics;

/// How often the folder is looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often in a row a file must be missed until it is gone.
const MISSED: u32 = 2;

/// The workflows of a folder.
#[derive(Debug)]
pub struct Workflows {
    config: Arc<Config>,
    job_kinds: Arc<JobKinds>,
    known: Mutex<ProjectFiles>,
    /// Whoever looks has it: what is known may be read meanwhile.
    looking: Mutex<()>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default, Clone)]
struct ProjectFiles {
    files: HashMap<PathBuf, ReadFile>,
    /// In force, by name.
    calendars: Calendars,
    /// The files of each calendar, as they were when they were last read.
    calendar_files: BTreeMap<String, (CalendarFiles, Vec<FileStamp>)>,
    /// What is wrong with calendars, by file or folder.
    refused_calendars: BTreeMap<PathBuf, String>,
    /// In force, by name.
    valid: BTreeMap<String, Arc<Workflow>>,
    /// What is wrong, by file.
    refused: BTreeMap<PathBuf, String>,
    /// Why the folder could not be read when it was last looked at.
    unread: Option<String>,
    /// The files of the workflows that were in force when it was last looked, by name.
    places: BTreeMap<String, PathBuf>,
    /// Workflows that no file has any more, by name.
    removed: BTreeMap<String, RemovedWorkflow>,
    /// Workflows of which another process has another schedule.
    elsewhere: Vec<String>,
}

/// A file as it was when it was last read.
#[derive(Debug, Clone)]
struct ReadFile {
    seen: FileStamp,
    /// Its last valid version.
    workflow: Option<Arc<Workflow>>,
    /// When that was saved.
    valid_since: Option<Timestamp>,
    mistakes: Option<String>,
}

/// A workflow file with mistakes, in place of which its last valid version is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewerFile {
    /// The file.
    pub path: PathBuf,
    /// When it was saved.
    pub saved_at: Option<Timestamp>,
    /// What is wrong with it.
    pub mistakes: String,
    /// When the version was saved that is in force.
    pub in_force_since: Option<Timestamp>,
}

/// A workflow that no file has any more.
#[derive(Debug, Clone)]
struct RemovedWorkflow {
    /// The file that had it.
    path: PathBuf,
    /// How often in a row it was looked for in vain.
    missed: u32,
    /// Whether the ledger knows.
    noted: bool,
}

impl Workflows {
    /// Those of the configuration's folder, as they are now.
    pub fn new(config: &Arc<Config>, job_kinds: &Arc<JobKinds>) -> Self {
        let workflows = Self::none(config, job_kinds);
        workflows.look();
        workflows
    }

    /// None, until somebody looks.
    pub fn none(config: &Arc<Config>, job_kinds: &Arc<JobKinds>) -> Self {
        let (config, job_kinds) = (Arc::clone(config), Arc::clone(job_kinds));
        let known = ProjectFiles {
            calendars: config.calendars.clone(),
            ..ProjectFiles::default()
        };
        Self {
            config,
            job_kinds,
            known: Mutex::new(known),
            looking: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Those in force, by name.
    pub fn all(&self) -> Vec<Arc<Workflow>> {
        self.known().valid.values().cloned().collect()
    }

    /// One of them.
    pub fn named(&self, name: &str) -> Option<Arc<Workflow>> {
        self.known().valid.get(name).cloned()
    }

    /// What was saved of a workflow since and has mistakes, so that its last valid version is in
    /// force; none where the file is the one that is in force.
    pub fn newer_with_mistakes(&self, name: &str) -> Option<NewerFile> {
        let known = self.known();
        let of_name = |file: &ReadFile| file.workflow.as_ref().is_some_and(|one| one.name == name);
        let (path, file) = known.files.iter().find(|(_, file)| of_name(file))?;
        Some(NewerFile {
            path: path.clone(),
            saved_at: saved_at(&file.seen),
            mistakes: file.mistakes.clone()?,
            in_force_since: file.valid_since,
        })
    }

    /// What is not taken up, by file or folder, and why.
    pub fn refused(&self) -> BTreeMap<PathBuf, String> {
        let known = self.known();
        let mut refused = known.refused.clone();
        refused.extend(known.removed.iter().map(|(name, removal)| {
            let path = &removal.path;
            let gone = if path.exists() { "it has another workflow now" } else { "the file is gone" };
            let why = format!(
                "{}: {gone}, and the workflow {name} is paused: nothing new of it is sent, and what is under way is queried. {}",
                path.display(),
                decide_about(name)
            );
            (path.clone(), why)
        }));
        refused.extend(known.refused_calendars.clone());
        refused.extend(
            known
                .unread
                .clone()
                .map(|why| (self.config.workflows.clone(), why)),
        );
        for name in &known.elsewhere {
            let has_it = |(_, file): &(&PathBuf, &ReadFile)| {
                file.workflow.as_ref().is_some_and(|one| one.name == *name)
            };
            let Some((path, _)) = known.files.iter().find(has_it) else {
                continue;
            };
            let why = format!(
                "{}: another process has another schedule of the workflow {name}, taken up later, which counts; give all \
                 processes the same file",
                path.display()
            );
            refused.insert(path.clone(), why);
        }
        refused
    }

    /// The workflows that no file has any more, each with the file that had it.
    pub fn removed(&self) -> Vec<(String, PathBuf)> {
        let known = self.known();
        known
            .removed
            .iter()
            .map(|(name, removal)| (name.clone(), removal.path.clone()))
            .collect()
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

    /// Looks at the folders, reads what has changed, and takes it up if it is valid.
    pub fn look(&self) {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = self.known().clone();
        let mut changed = seen.look_at_calendars(&self.config.calendar_folder);
        let paths = load::files(&self.config.workflows);
        match &paths {
            Ok(paths) => {
                changed |= seen.unread.take().is_some() | self.read_changed(paths, &mut seen)
            }
            Err(error) => {
                let why = format!(
                    "the folder {} cannot be read: {error}",
                    self.config.workflows.display()
                );
                if seen.unread.as_ref() != Some(&why) {
                    tracing::error!(why, "what was in force stays in force");
                    seen.unread = Some(why);
                    changed = true;
                }
            }
        }
        let mut known = self.known();
        // These were changed by others meanwhile.
        seen.removed = std::mem::take(&mut known.removed);
        seen.elsewhere = std::mem::take(&mut known.elsewhere);
        *known = seen;
        if paths.is_ok() {
            if changed {
                known.sort();
            }
            changed |= known.look_for_removed(&self.config.workflows);
        }
        if changed {
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Reads the files that have changed since they were last looked at, so that what begins now uses
    /// what was saved. What is gone is left to [`Workflows::look`], which counts how often it was
    /// missed.
    pub fn look_at_saved(&self) {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(paths) = load::files(&self.config.workflows) else {
            return;
        };
        let mut seen = self.known().clone();
        if !self.read_saved(&paths, &mut seen) {
            return;
        }
        let mut known = self.known();
        // These were changed by others meanwhile.
        seen.removed = std::mem::take(&mut known.removed);
        seen.elsewhere = std::mem::take(&mut known.elsewhere);
        *known = seen;
        known.sort();
        drop(known);
        self.changes.send_modify(|count| *count += 1);
    }

    /// Reads the files that have changed, and forgets those that are gone. True if there are any.
    fn read_changed(&self, paths: &[PathBuf], known: &mut ProjectFiles) -> bool {
        let mut changed = false;
        let gone: Vec<PathBuf> = known
            .files
            .keys()
            .filter(|path| !paths.contains(path))
            .cloned()
            .collect();
        for path in gone {
            tracing::warn!(file = %path.display(), "a workflow file is gone");
            known.files.remove(&path);
            changed = true;
        }
        self.read_saved(paths, known) | changed
    }

    /// Reads the files that have changed. True if there are any.
    fn read_saved(&self, paths: &[PathBuf], known: &mut ProjectFiles) -> bool {
        let mut changed = false;
        for path in paths {
            let seen = stamp(path);
            if known.files.get(path).is_some_and(|file| file.seen == seen) {
                continue;
            }
            let before = known.files.remove(path);
            let file = self.read(path, seen, before, &known.calendars);
            known.files.insert(path.clone(), file);
            changed = true;
        }
        changed
    }

    /// Takes note of workflows that payrun paused at its start, since no file has them any more.
    pub fn were_removed(&self, missing: BTreeMap<String, PathBuf>) {
        let removals = missing.into_iter().map(|(name, path)| {
            (
                name,
                RemovedWorkflow {
                    path,
                    missed: MISSED,
                    noted: true,
                },
            )
        });
        self.known().removed.extend(removals);
        self.changes.send_modify(|count| *count += 1);
    }

    /// The workflows that no file has any more, as the ledger is to be told.
    fn unnoted(&self) -> Vec<(String, PathBuf)> {
        let known = self.known();
        let due = known
            .removed
            .iter()
            .filter(|(_, removal)| !removal.noted && removal.missed >= MISSED);
        due.map(|(name, removal)| (name.clone(), removal.path.clone()))
            .collect()
    }

    /// The ledger was told.
    fn noted(&self, removed: &[(String, PathBuf)]) {
        let mut known = self.known();
        for (name, _) in removed {
            known
                .removed
                .entry(name.clone())
                .and_modify(|removal| removal.noted = true);
        }
    }

    /// Nothing more is said of those whose pause was ended: by a person, or by a process that has
    /// the file.
    fn keep_paused(&self, paused: &[String]) {
        let mut known = self.known();
        let before = known.removed.len();
        known
            .removed
            .retain(|name, removal| !removal.noted || paused.contains(name));
        if known.removed.len() != before {
            drop(known);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Whether something is missed that may be on its way back.
    fn misses(&self) -> bool {
        self.known()
            .removed
            .values()
            .any(|removal| removal.missed < MISSED)
    }

    fn read(
        &self,
        path: &Path,
        seen: FileStamp,
        before: Option<ReadFile>,
        calendars: &Calendars,
    ) -> ReadFile {
        match contained(path, || {
            load::load_with(path, &self.job_kinds, &self.config, calendars)
        }) {
            Ok(workflow) => {
                tracing::info!(workflow.name = workflow.name, file = %path.display(), "a workflow is taken up");
                ReadFile {
                    valid_since: saved_at(&seen),
                    seen,
                    workflow: Some(Arc::new(workflow)),
                    mistakes: None,
                }
            }
            Err(mistakes) => {
                let (before, valid_since) = before
                    .map(|file| (file.workflow, file.valid_since))
                    .unwrap_or_default();
                let now = if before.is_some() {
                    "its last valid version stays in force"
                } else {
                    "nothing of it runs"
                };
                tracing::error!(file = %path.display(), %mistakes, now, "a workflow is refused");
                ReadFile {
                    seen,
                    workflow: before,
                    valid_since,
                    mistakes: Some(mistakes),
                }
            }
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, ProjectFiles> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ProjectFiles {
    /// Reads the calendars of which a file has changed, and has the workflows read anew that ask
    /// them. True if anything is new.
    fn look_at_calendars(&mut self, folder: &Path) -> bool {
        let (mut refused, mut taken_up) = (BTreeMap::new(), BTreeSet::new());
        match if folder.is_dir() {
            calendars::files_of(folder)
        } else {
            Ok(Vec::new())
        } {
            Ok(found) => {
                self.tell_gone(&found, &mut refused);
                for files in found {
                    self.look_at_calendar(files, &mut refused, &mut taken_up);
                }
            }
            Err(mistake) => {
                refused.clone_from(&self.refused_calendars);
                refused.insert(
                    folder.to_owned(),
                    format!("{mistake}; the calendars stay as they were"),
                );
            }
        }
        for (file, why) in refused
            .iter()
            .filter(|(file, why)| self.refused_calendars.get(*file) != Some(*why))
        {
            tracing::error!(file = %file.display(), why, "a calendar is not taken up");
        }
        for file in self.files.values_mut().filter(|_| !taken_up.is_empty()) {
            let asked = file
                .workflow
                .iter()
                .filter_map(|workflow| workflow.schedule.as_ref());
            let mut asked = asked.flat_map(|schedule| schedule.timetable.calendars());
            if file.mistakes.is_some() || asked.any(|calendar| taken_up.contains(&calendar.name)) {
                file.seen = None;
            }
        }
        let is_new = !taken_up.is_empty() || refused != self.refused_calendars;
        self.refused_calendars = refused;
        is_new
    }

    /// Tells of calendars of which all files are gone; they are read again if they come back.
    fn tell_gone(&mut self, found: &[CalendarFiles], refused: &mut BTreeMap<PathBuf, String>) {
        for (name, (files, seen)) in &mut self.calendar_files {
            if let Some(path) = files
                .paths
                .first()
                .filter(|_| found.iter().all(|files| files.name != *name))
            {
                seen.clear();
                let why = format!(
                    "{}: the file is gone, and the calendar stays as it was",
                    path.display()
                );
                refused.insert(path.clone(), why);
            }
        }
    }

    /// Reads a calendar if a file of it has changed.
    fn look_at_calendar(
        &mut self,
        files: CalendarFiles,
        refused: &mut BTreeMap<PathBuf, String>,
        taken_up: &mut BTreeSet<String>,
    ) {
        let seen: Vec<FileStamp> = files.paths.iter().map(|path| stamp(path)).collect();
        if self
            .calendar_files
            .get(&files.name)
            .is_some_and(|known| (&known.0, &known.1) == (&files, &seen))
        {
            let still = files
                .paths
                .iter()
                .filter_map(|path| self.refused_calendars.get_key_value(path));
            refused.extend(still.map(|(path, why)| (path.clone(), why.clone())));
            return;
        }
        let read = match files.paths.first() {
            Some(path) => contained(path, || calendars::read(&files)),
            None => calendars::read(&files).map_err(|mistakes| mistakes.to_string()),
        };
        match read {
            Ok(calendar)
                if self
                    .calendars
                    .get(&files.name)
                    .is_some_and(|known| **known == calendar) => {}
            Ok(calendar) => {
                tracing::info!(calendar = files.name, "a calendar is taken up");
                self.calendars
                    .insert(files.name.clone(), Arc::new(calendar));
                taken_up.insert(files.name.clone());
            }
            Err(mistakes) => {
                let now = if self.calendars.contains_key(&files.name) {
                    "; the calendar stays as it was"
                } else {
                    ""
                };
                refused.extend(
                    files
                        .paths
                        .first()
                        .map(|path| (path.clone(), format!("{mistakes}{now}"))),
                );
            }
        }
        self.calendar_files
            .insert(files.name.clone(), (files, seen));
    }

    /// Looks for workflows that were in force and that no file has any more, be it right or wrong.
    /// True if anything is new.
    fn look_for_removed(&mut self, folder: &Path) -> bool {
        let has_it = |file: &ReadFile, name: &str| {
            file.workflow
                .as_ref()
                .is_some_and(|workflow| workflow.name == name)
        };
        let place = |name: &String| {
            let mut having = self
                .files
                .iter()
                .filter(|(_, file)| has_it(file, name))
                .map(|(path, _)| path);
            having.next().map(|path| (name.clone(), path.clone()))
        };
        let places: BTreeMap<String, PathBuf> = self.valid.keys().filter_map(place).collect();
        let before = std::mem::replace(&mut self.places, places);
        let (removed, valid) = (self.removed.len(), &self.valid);
        self.removed.retain(|name, _| !valid.contains_key(name));
        let mut is_new = removed != self.removed.len();
        for (name, path) in before
            .into_iter()
            .filter(|(name, _)| !valid.contains_key(name))
        {
            self.removed.entry(name).or_insert(RemovedWorkflow {
                path,
                missed: 0,
                noted: false,
            });
            is_new = true;
        }
        for (name, removal) in self
            .removed
            .iter_mut()
            .filter(|(_, removal)| !removal.noted)
        {
            // A file with mistakes that has it is being worked on.
            removal.missed = if has_workflow(folder, name) {
                0
            } else {
                removal.missed.saturating_add(1)
            };
        }
        is_new
    }

    /// Puts together what is in force. Of two files with the same workflow only the first counts.
    fn sort(&mut self) {
        let mut files: Vec<(&PathBuf, &ReadFile)> = self.files.iter().collect();
        files.sort_by_key(|(path, _)| *path);
        (self.valid, self.refused) = (BTreeMap::new(), BTreeMap::new());
        for (path, file) in files {
            if let Some(mistakes) = &file.mistakes {
                self.refused.insert(path.clone(), mistakes.clone());
            }
            let Some(workflow) = &file.workflow else {
                continue;
            };
            if self.valid.contains_key(&workflow.name) {
                let why = format!(
                    "{}: another file has the workflow {} too",
                    path.display(),
                    workflow.name
                );
                tracing::error!(why, "a workflow is refused");
                self.refused.insert(path.clone(), why);
                continue;
            }
            self.valid
                .insert(workflow.name.clone(), Arc::clone(workflow));
        }
    }
}

/// What comes of reading a file. A panic is a mistake like any other: the other files go on.
fn contained<T>(path: &Path, read: impl FnOnce() -> Result<T, Diagnostics>) -> Result<T, String> {
    let defect = |_| {
        Err(format!(
            "{}: to read it made payrun fail, which is a defect of payrun",
            path.display()
        ))
    };
    catch_unwind(AssertUnwindSafe(read))
        .map_or_else(defect, |read| read.map_err(|mistakes| mistakes.to_string()))
}

/// By what a change is noticed: when it was changed, and its length.
type FileStamp = Option<(SystemTime, u64)>;

fn saved_at(stamp: &FileStamp) -> Option<Timestamp> {
    let since = stamp.as_ref()?.0.duration_since(SystemTime::UNIX_EPOCH);
    let millis = i64::try_from(since.ok()?.as_millis()).ok()?;
    Some(Timestamp::from_millis(millis))
}

fn stamp(path: &Path) -> FileStamp {
    let data = std::fs::metadata(path).ok()?;
    Some((data.modified().ok()?, data.len()))
}

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    super::periodic::run_periodically(&health, "workflows", stop, || async {
        let workflows = Arc::clone(&service.workflows);
        // Files are read, which a task must not do.
        if let Err(error) = tokio::task::spawn_blocking(move || workflows.look()).await {
            tracing::error!(%error, "the workflows could not be looked at");
        }
        tell_ledger(&service).await?;
        Ok(if service.workflows.misses() {
            REPLACED
        } else {
            TICK
        })
    })
    .await;
}

/// Pauses what no file has any more, and ends such a pause of what has one here, whichever process
/// has paused it.
async fn tell_ledger(service: &Service) -> Result<(), LedgerError> {
    let (engine, workflows) = (&service.engine, &service.workflows);
    let removed = workflows.unnoted();
    for (name, file) in &removed {
        engine.pause_removed(name, file).await?;
    }
    workflows.noted(&removed);
    engine.resume_returned().await?;
    if !workflows.removed().is_empty() {
        workflows.keep_paused(&engine.ledger.paused_workflows().await?);
    }
    Ok(())
}
