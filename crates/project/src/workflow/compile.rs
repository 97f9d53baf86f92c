//! From a checked tree to a [`Workflow`]: names, parameters, alerts, and the order of jobs.
//!
//! Everything that can be read is read, so that one wrong field does not hide the mistakes of the
//! others.

use std::path::Path;
use std::sync::Arc;

use super::expression::{RUN_FIELDS, VariableName};
use super::params::check_value;
use super::{ItemSource, Job, Param, ParamKind, Template, Workflow};
use crate::config::calendars::Calendars;
use crate::config::load::folder_of;
use crate::config::{Config, rule};
use crate::job_kinds::JobKinds;
use payrun_domain::alert::{AlertRule, Timing};
use payrun_domain::text::shown;
use payrun_yaml::diagnostics::{Diagnostic, Diagnostics, SourceText, suggestion};
use payrun_yaml::fields::{boolean, text_of};
use payrun_yaml::node::{MappingEntry, Position, YamlNode};

/// What is known while a workflow is read.
pub(super) struct Compiler<'a> {
    pub(super) source: &'a Arc<SourceText>,
    pub(super) job_kinds: &'a JobKinds,
    pub(super) config: &'a Config,
    pub(super) calendars: &'a Calendars,
    pub(super) found: Diagnostics,
    pub(super) params: Vec<Param>,
}

impl Compiler<'_> {
    pub(super) fn workflow(&mut self, root: &YamlNode, path: &Path) -> Workflow {
        if let Some(node) = root
            .get("workflow")
            .filter(|node| node.text().is_some_and(|name| !is_name(name)))
        {
            self.refuse(
                node.at,
                "a workflow's name has 1 to 64 of a-z, 0-9, - and _, beginning with a letter",
            );
        }
        let text = |name| text_of(root, name).unwrap_or_default().to_owned();
        let schedule = root.get("schedule").and_then(|node| self.scheduling(node));
        let params = root.get("params").map_or(&[][..], YamlNode::entries);
        self.params = params.iter().map(|entry| self.param(entry)).collect();
        if schedule.is_some() {
            self.check_defaults(params);
        }
        let entries = root.get("jobs").map_or(&[][..], YamlNode::entries);
        if let Some(jobs) = root.get("jobs").filter(|_| entries.is_empty()) {
            self.refuse(jobs.at, "a workflow needs at least one job");
        }
        let jobs: Vec<Job> = entries.iter().filter_map(|entry| self.job(entry)).collect();
        self.check_columns(&jobs);
        let jobs = if self.check_needs(entries) {
            in_order(jobs)
        } else {
            jobs
        };
        let alerts = self.alerts(root);
        Workflow {
            name: text("workflow"),
            description: text("description"),
            schedule,
            params: std::mem::take(&mut self.params),
            jobs,
            alerts,
            report: root.get("report").and_then(boolean) == Some(true),
            source: self.source.text.clone(),
            path: path.to_owned(),
            folder: folder_of(path),
        }
    }

    /// The rules of this file are about this workflow only.
    fn alerts(&mut self, root: &YamlNode) -> Vec<AlertRule> {
        let mut refuse = |at, message: String, help: &str| {
            let diagnostic = self.source.diagnostic(at, message);
            self.found.push(if help.is_empty() {
                diagnostic
            } else {
                diagnostic.help(help)
            });
        };
        let nodes = root.get("alerts").map_or(&[][..], YamlNode::list);
        let name = text_of(root, "workflow");
        let rules: Vec<AlertRule> = nodes
            .iter()
            .filter_map(|node| rule(node, name, &mut refuse))
            .collect();
        let absence = rules.iter().find(|rule| rule.on.timing() == Timing::Needed);
        if let (Some(rule), Some(alerts), None) =
            (absence, root.get("alerts"), root.get("schedule"))
        {
            refuse(
                alerts.at,
                format!(
                    "{} needs a schedule: without one nothing is ever late",
                    rule.on.as_str()
                ),
                "",
            );
        }
        rules
    }

    pub(super) fn refuse(&mut self, at: Position, message: impl Into<String>) {
        self.found.push(self.source.diagnostic(at, message));
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    /// Reads a template and checks the parameters and values of the run that it names.
    pub(super) fn template(&mut self, node: &YamlNode) -> Option<Template> {
        let text = node.scalar()?.text.as_str();
        match Template::parse(text, self.source, node.at) {
            Ok(template) => {
                let names: Vec<VariableName> = template.names().cloned().collect();
                self.check_names(&names, |message| template.diagnostic(message));
                Some(template)
            }
            Err(diagnostic) => {
                self.push(diagnostic);
                None
            }
        }
    }

    pub(super) fn check_names(
        &mut self,
        names: &[VariableName],
        diagnostic: impl Fn(String) -> Diagnostic,
    ) {
        for name in names {
            let (given, prefix, valid): (&str, &str, Vec<&str>) = match name {
                VariableName::Item(_) => continue,
                VariableName::Params(given) => (
                    given,
                    "params",
                    self.params
                        .iter()
                        .map(|param| param.name.as_str())
                        .collect(),
                ),
                VariableName::Run(given) => (given, "run", RUN_FIELDS.to_vec()),
            };
            if !valid.contains(&given) {
                let message = format!("there is no {prefix}.{}", shown(given));
                let help = suggestion(given, valid);
                let mut diagnostic = diagnostic(message);
                diagnostic.help = help.or_else(|| Some("declare it under params:".to_owned()));
                self.push(diagnostic);
            }
        }
    }

    fn param(&mut self, entry: &MappingEntry) -> Param {
        let node = &entry.value;
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !entry.key.starts_with(|c: char| c.is_ascii_alphabetic())
            || !entry.key.chars().all(plain)
        {
            self.refuse(
                entry.key_at,
                "a parameter's name has letters, digits and _, beginning with a letter",
            );
        }
        let kind = match text_of(node, "type") {
            Some("integer") => ParamKind::Integer,
            Some("boolean") => ParamKind::Boolean,
            Some("date") => ParamKind::Date,
            Some(_) | None => ParamKind::Text,
        };
        let default = node
            .get("default")
            .and_then(|node| Some((node.at, node.scalar()?.text.clone())));
        if let Some((at, Err(expected))) = default
            .as_ref()
            .map(|(at, text)| (*at, check_value(kind, text)))
        {
            self.refuse(at, format!("the default must be {expected}"));
        }
        Param {
            name: entry.key.clone(),
            kind,
            default: default.map(|(_, text)| text),
            description: text_of(node, "description").unwrap_or_default().to_owned(),
        }
    }

    /// A job that takes its items from another of this file has the columns of those.
    fn check_columns(&mut self, jobs: &[Job]) {
        for job in jobs {
            let ItemSource::Job {
                workflow: None,
                job: from,
                ..
            } = &job.items.source
            else {
                continue;
            };
            let Some(source) = jobs.iter().find(|source| source.name == *from) else {
                continue;
            };
            let fields = source.kind.fields.iter().map(|field| field.name.as_str());
            let known: Vec<&str> = fields.chain(ITEM_COLUMNS).collect();
            let is_known = |column: &&str| known.contains(column) || column.starts_with("result_");
            let condition = job.items.condition.iter();
            let used = condition.flat_map(|one| {
                one.item_columns()
                    .into_iter()
                    .map(move |column| (column, one.diagnostic("")))
            });
            let templates = job.with.values().chain(&job.key).chain(&job.order_number);
            let all = templates.flat_map(|one| {
                one.item_columns()
                    .into_iter()
                    .map(move |column| (column, one.diagnostic("")))
            });
            for (column, mut diagnostic) in used.chain(all).filter(|(column, _)| !is_known(column))
            {
                diagnostic.message =
                    format!("the items of {from} have no column {}", shown(column));
                let help = suggestion(column, known.iter().copied());
                diagnostic.help =
                    help.or_else(|| Some("what the gateway told is result_NAME".to_owned()));
                self.push(diagnostic);
            }
        }
    }

    /// Whether every job that is needed exists, and none waits for itself.
    fn check_needs(&mut self, entries: &[MappingEntry]) -> bool {
        let mut sound = true;
        for entry in entries {
            for need in needed(entry) {
                let Some(name) = need.text() else { continue };
                if !entries.iter().any(|entry| entry.key == name) {
                    let names = entries.iter().map(|entry| entry.key.as_str());
                    let message = format!("there is no job \"{}\"", shown(name));
                    self.push(
                        self.source
                            .diagnostic(need.at, message)
                            .nearest(name, names),
                    );
                    sound = false;
                }
            }
        }
        if let Some((at, path)) = cycle(entries) {
            let message = format!("these jobs wait for each other: {}", path.join(" → "));
            self.push(
                self.source
                    .diagnostic(at, message)
                    .help("needs must not lead back to the same job"),
            );
            sound = false;
        }
        sound
    }
}

/// What every item of another job has beside its input fields.
const ITEM_COLUMNS: [&str; 6] = ["key", "order_no", "receipt", "state", "amount", "currency"];

/// A name of a workflow or job.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=64).contains(&name.len())
        && name.as_bytes()[0].is_ascii_lowercase()
        && name.bytes().all(allowed)
}

pub(super) fn at_text<'a>(node: &'a YamlNode, name: &str) -> Option<(Position, &'a str)> {
    node.get(name)
        .and_then(|node| Some((node.at, node.text()?)))
}

/// What names a job that an entry needs: its `needs`, and `from` where that is a job of this file.
fn needed(entry: &MappingEntry) -> impl Iterator<Item = &YamlNode> {
    let from = entry.value.get("items").and_then(|items| items.get("from"));
    let from = from.filter(|node| node.text().is_some_and(|name| !name.contains('/')));
    entry
        .value
        .get("needs")
        .map_or(&[][..], YamlNode::list)
        .iter()
        .chain(from)
}

/// The jobs that are needed by an entry, as places in the list.
fn needs_of(entries: &[MappingEntry], index: usize) -> Vec<usize> {
    needed(&entries[index])
        .filter_map(|node| {
            entries
                .iter()
                .position(|entry| Some(entry.key.as_str()) == node.text())
        })
        .collect()
}

/// The first cycle, as the path that leads back to its beginning.
fn cycle(entries: &[MappingEntry]) -> Option<(Position, Vec<&str>)> {
    // A job is done with when no cycle can be reached from it.
    let mut done = vec![false; entries.len()];
    for start in 0..entries.len() {
        let mut path: Vec<(usize, Vec<usize>)> = Vec::new();
        if !done[start] {
            path.push((start, needs_of(entries, start)));
        }
        while let Some((index, needs)) = path.last_mut() {
            let index = *index;
            let Some(next) = needs.pop() else {
                done[index] = true;
                path.pop();
                continue;
            };
            if let Some(place) = path.iter().position(|(known, _)| *known == next) {
                let mut names: Vec<&str> = path[place..]
                    .iter()
                    .map(|(index, _)| entries[*index].key.as_str())
                    .collect();
                names.push(&entries[next].key);
                return Some((entries[next].key_at, names));
            }
            if !done[next] {
                path.push((next, needs_of(entries, next)));
            }
        }
    }
    None
}

/// Each job after those it needs; otherwise in the order of the file. There is no cycle.
fn in_order(mut waiting: Vec<Job>) -> Vec<Job> {
    let mut ordered: Vec<Job> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|job| {
            job.needs
                .iter()
                .all(|need| !waiting.iter().any(|other| other.name == *need))
        });
        ordered.push(waiting.remove(ready.unwrap_or(0)));
    }
    ordered
}
