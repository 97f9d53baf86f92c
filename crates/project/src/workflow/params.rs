//! What a run is given: parameters with their types, and the values of the run itself.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};

use super::{Param, ParamKind, Workflow};
use payrun_domain::text::shown;
use payrun_domain::time::Timestamp;
use payrun_yaml::diagnostics::suggestion;

/// What `run.` gives to expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunValues {
    /// The workflow's name.
    pub workflow: String,
    /// What the run is for: the scheduled instant, or what a person gave.
    pub occurrence: String,
    /// Its date, `YYYY-MM-DD`.
    pub date: String,
    /// Its month, `YYYY-MM`.
    pub month: String,
    /// Its instant, `YYYY-MM-DDThh:mm:ss+08:00`.
    pub time: String,
    /// Its id.
    pub id: String,
}

impl RunValues {
    /// Of a run whose occurrence is at this instant, on the wall clock of a time zone.
    pub fn new(
        workflow: &str,
        occurrence: &str,
        id: &str,
        at: Timestamp,
        zone: chrono_tz::Tz,
    ) -> Self {
        let wall = DateTime::<Utc>::from_timestamp_millis(at.millis())
            .unwrap_or_default()
            .with_timezone(&zone);
        Self {
            workflow: workflow.to_owned(),
            occurrence: occurrence.to_owned(),
            date: wall.format("%Y-%m-%d").to_string(),
            month: wall.format("%Y-%m").to_string(),
            time: wall.format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            id: id.to_owned(),
        }
    }

    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        match name {
            "workflow" => Some(&self.workflow),
            "occurrence" => Some(&self.occurrence),
            "date" => Some(&self.date),
            "month" => Some(&self.month),
            "time" => Some(&self.time),
            "id" => Some(&self.id),
            _ => None,
        }
    }
}

/// The parameters of a run: what was given, and defaults.
///
/// # Errors
/// A sentence for each one that is unknown, given twice, of the wrong type, or missing.
pub fn bind_params(
    workflow: &Workflow,
    given: &[(String, String)],
) -> Result<BTreeMap<String, String>, Vec<String>> {
    let mut bound = BTreeMap::new();
    let mut reasons = Vec::new();
    for (name, value) in given {
        let Some(param) = workflow.params.iter().find(|param| param.name == *name) else {
            let names = workflow.params.iter().map(|param| param.name.as_str());
            let help = suggestion(name, names)
                .map(|help| format!("; {help}"))
                .unwrap_or_default();
            reasons.push(format!(
                "the workflow has no parameter \"{}\"{help}",
                shown(name)
            ));
            continue;
        };
        if let Err(expected) = check_value(param.kind, value) {
            reasons.push(format!(
                "the parameter {name} takes {expected}, not \"{}\"",
                shown(value)
            ));
        }
        if bound.insert(name.clone(), value.clone()).is_some() {
            reasons.push(format!("the parameter {name} is given twice"));
        }
    }
    for Param { name, default, .. } in &workflow.params {
        match default {
            _ if bound.contains_key(name) => {}
            Some(default) => {
                bound.insert(name.clone(), default.clone());
            }
            None => reasons.push(format!(
                "the parameter {name} is missing; give it by --var {name}=…"
            )),
        }
    }
    if reasons.is_empty() {
        Ok(bound)
    } else {
        Err(reasons)
    }
}

/// Holds a value against a type; else what is expected.
pub(super) fn check_value(kind: ParamKind, value: &str) -> Result<(), &'static str> {
    let is_date = || value.len() == 10 && NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok();
    match kind {
        ParamKind::Text if value.chars().any(char::is_control) => {
            Err("text without control characters")
        }
        ParamKind::Text => Ok(()),
        ParamKind::Integer if value.parse::<i64>().is_err() => Err("a whole number"),
        ParamKind::Integer => Ok(()),
        ParamKind::Boolean if matches!(value, "true" | "false") => Ok(()),
        ParamKind::Boolean => Err("true or false"),
        ParamKind::Date if is_date() => Ok(()),
        ParamKind::Date => Err("a date such as 2026-11-30"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(given: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Vec<String>> {
        let param = |name: &str, kind, default: Option<&str>| Param {
            name: name.to_owned(),
            kind,
            default: default.map(str::to_owned),
            description: String::new(),
        };
        let workflow = Workflow {
            name: "w".to_owned(),
            description: String::new(),
            schedule: None,
            params: vec![
                param("file", ParamKind::Text, Some("a.csv")),
                param("day", ParamKind::Date, None),
            ],
            jobs: Vec::new(),
            alerts: Vec::new(),
            report: false,
            source: String::new(),
            path: "w.yaml".into(),
            folder: ".".into(),
        };
        let given: Vec<(String, String)> = given
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        bind_params(&workflow, &given)
    }

    #[test]
    fn defaults_fill_in_and_mistakes_come_all_at_once() {
        assert_eq!(bind(&[("day", "2026-11-30")]).unwrap()["file"], "a.csv");
        let expected = [
            "the workflow has no parameter \"fiel\"; did you mean \"file\"?",
            "the parameter day takes a date such as 2026-11-30, not \"30.11.2026\"",
        ];
        assert_eq!(
            bind(&[("fiel", "x"), ("day", "30.11.2026")]).unwrap_err(),
            expected
        );
        assert!(bind(&[]).unwrap_err()[0].contains("--var day="));
        assert!(bind(&[("day", "2026-11-30"), ("day", "2026-11-30")]).is_err());
    }

    #[test]
    fn the_date_of_a_run_is_that_of_its_time_zone() {
        let at = Timestamp::from_millis(1_793_462_400_000);
        assert_eq!(at.to_string(), "2026-10-31T16:00:00Z");
        let run = RunValues::new("w", "o", "r", at, chrono_tz::Asia::Hong_Kong);
        assert_eq!(
            (run.date.as_str(), run.month.as_str()),
            ("2026-11-01", "2026-11")
        );
    }
}
