//! Which rules there are, what each is about, and what they want told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::facts::Fact;
use payrun_domain::alert::AlertRule;
use payrun_domain::time::Timestamp;
use payrun_project::config::AlertsConfig;
use payrun_project::workflow::Workflow;

/// A rule and what it is about.
#[derive(Debug, Clone)]
pub(super) struct ScopedRule<'a> {
    pub rule: &'a AlertRule,
    /// The workflows of the rule that are loaded.
    pub workflows: Vec<&'a Workflow>,
}

/// All rules: of payrun.yaml, and of the workflows.
pub(super) fn scoped<'a>(
    alerts: &'a AlertsConfig,
    workflows: &'a [Arc<Workflow>],
) -> Vec<ScopedRule<'a>> {
    let rules = alerts
        .rules
        .iter()
        .chain(workflows.iter().flat_map(|workflow| &workflow.alerts));
    let meant = |rule: &'a AlertRule| {
        let named = |workflow: &&Arc<Workflow>| {
            rule.workflow
                .as_ref()
                .is_none_or(|name| *name == workflow.name)
        };
        workflows
            .iter()
            .filter(named)
            .map(|workflow| &**workflow)
            .collect()
    };
    rules
        .map(|rule| ScopedRule {
            rule,
            workflows: meant(rule),
        })
        .collect()
}

impl ScopedRule<'_> {
    fn is_about(&self, fact: &Fact) -> bool {
        if fact.kind != self.rule.on
            || fact
                .spec
                .as_ref()
                .is_some_and(|spec| *spec != self.rule.spec())
        {
            return false;
        }
        let Some(name) = &self.rule.workflow else {
            return true;
        };
        match (&fact.workflow, &fact.gateway) {
            (Some(workflow), _) => workflow == name,
            (None, Some(gateway)) => self
                .workflows
                .iter()
                .flat_map(|workflow| &workflow.jobs)
                .any(|job| job.gateway == *gateway),
            (None, None) => false,
        }
    }
}

/// A fact that rules want told.
#[derive(Debug, Clone)]
pub(super) struct WantedFact<'a> {
    /// What the incident is known by.
    pub key: String,
    pub fact: &'a Fact,
    /// How long it must have lasted.
    pub after: Duration,
    /// To whom.
    pub to: BTreeSet<String>,
}

impl WantedFact<'_> {
    /// Whether it may be told the first time it is seen.
    pub fn is_ripe(&self) -> bool {
        self.fact.since.is_some() || self.after.is_zero()
    }
}

/// What is wanted of these facts. Two rules that say the same of time share an incident.
pub(super) fn wanted<'a>(
    rules: &[ScopedRule<'_>],
    facts: &'a [Fact],
    now: Timestamp,
) -> Vec<WantedFact<'a>> {
    let mut all: BTreeMap<String, WantedFact<'a>> = BTreeMap::new();
    for fact in facts {
        for ScopedRule { rule, .. } in rules.iter().filter(|scoped| scoped.is_about(fact)) {
            // An absence is no fact before its time.
            let after = if fact.spec.is_some() {
                Duration::ZERO
            } else {
                rule.after
            };
            if fact.since.is_some_and(|since| now.since(since) < after) {
                continue;
            }
            let key = key(fact, &rule.spec());
            let entry = all.entry(key.clone()).or_insert_with(|| WantedFact {
                key,
                fact,
                after,
                to: BTreeSet::new(),
            });
            entry.to.extend(rule.to.iter().cloned());
        }
    }
    all.into_values().collect()
}

/// What an incident is known by.
pub(super) fn key(fact: &Fact, spec: &str) -> String {
    format!("{}/{}/{spec}", fact.kind.as_str(), fact.subject)
}
