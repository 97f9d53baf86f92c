//! Telling people: rules over facts of the ledger, incidents, and mails.
//!
//! [`Alerts::look`] asks the ledger for what lasts and what happened, and makes *incidents* of what a rule is
//! about: one incident from its beginning to its end. [`Alerts::deliver`] gathers what is due for a
//! person into one mail and sends what waits in the outbox. Both may be called by several processes
//! at once: every step is a change of a row that only one of them makes. A mail goes out at least
//! once; its message id stays the same.
//!
//! What breaks the ledger itself is told without it ([`EmergencyMailer`]). Mails hold keys, counts,
//! sums and masked reasons; never an item's input, nor what a gateway wrote.

mod attachments;
mod daily_mail;
mod deliver;
mod emergency_mail;
mod facts;
mod incident_changes;
mod mail_body;
mod mailer;
mod mask;
pub mod preview;
mod report_mails;
mod rules;
mod templates;
pub mod withdrawal;

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use payrun_domain::alert::ExpiringCredential;
use payrun_domain::time::Timestamp;
use payrun_ledger::{IncidentChange, Ledger, LedgerError, NewIncident, Recipients};
use payrun_project::config::{AlertsConfig, Config, PublicUrl};
use payrun_project::workflow::Workflow;
use payrun_system::clock::Clock;

pub use attachments::AttachmentReader;
pub use deliver::DeliveryCounts;
pub use emergency_mail::{Emergency, EmergencyMailer};
pub use facts::{RefusedRun, headline};
pub use mailer::SendOutcome;
pub use templates::TemplateError;

use facts::InstantRange;
use incident_changes::{IncidentChanges, plan};
use mailer::Mailer;
use rules::{WantedFact, scoped, wanted};
use templates::Templates;

/// How far back events are looked for when they never were.
const FIRST_LOOK: Duration = Duration::from_secs(86_400);

/// What is looked at once more: a commit may come later than the instant it speaks of, and clocks
/// differ.
const OVERLAP: Duration = Duration::from_secs(600);

/// How often is noted up to when events were looked for.
const NOTE: Duration = Duration::from_secs(300);

/// The most changes of one commit.
const CHANGES_MAX: usize = 200;

/// Evaluates the alert rules against the ledger, and sends what they find.
#[derive(Debug)]
pub struct Alerts {
    ledger: Ledger,
    clock: Clock,
    zone: chrono_tz::Tz,
    alerts: AlertsConfig,
    templates: Templates,
    mailer: Option<Mailer>,
    public_url: Option<PublicUrl>,
    attachments: Option<AttachmentReader>,
}

/// What rules are about, beside the ledger.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlertInputs<'a> {
    /// The workflows, with their rules and schedules.
    pub workflows: &'a [Arc<Workflow>],
    /// Until when the gateways' and our certificates are good.
    pub certificates: &'a [ExpiringCredential],
    /// Runs and workflow files that could not be taken up.
    pub refused: &'a [RefusedRun],
}

/// Why nobody can be told.
#[derive(Debug, Error)]
pub enum AlertSendError {
    /// The mail server's settings cannot be used.
    #[error("mail in payrun.yaml cannot be used: {0}")]
    Mail(String),
    /// A template is wrong.
    #[error("a mail template cannot be used")]
    Template(#[from] TemplateError),
}

impl Alerts {
    /// For a project: its `mail`, its rules, and the templates of its folder `templates/`.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(config: &Config, ledger: Ledger, clock: Clock) -> Result<Self, AlertSendError> {
        let mailer = config
            .alerts
            .mail
            .as_ref()
            .map(Mailer::new)
            .transpose()
            .map_err(AlertSendError::Mail)?;
        let templates = Templates::load(&config.folder.join("templates"))?;
        templates.check()?;
        Ok(Self {
            ledger,
            clock,
            zone: config.timezone,
            alerts: config.alerts.clone(),
            templates,
            mailer,
            public_url: config.server.public_url.clone(),
            attachments: None,
        })
    }

    /// With what reads the files that hang on mails; without it none does.
    #[must_use]
    pub fn with_attachments(self, read: AttachmentReader) -> Self {
        Self {
            attachments: Some(read),
            ..self
        }
    }

    /// Looks for incidents and events and writes down what people are to hear of; says how many
    /// changes that made.
    ///
    /// Meant to be called every few seconds. Cheap where nothing is wrong.
    ///
    /// # Errors
    /// Whatever the ledger says; the next look finds the same.
    pub async fn look(&self, watched: &AlertInputs<'_>) -> Result<usize, LedgerError> {
        let now = self.clock.now();
        let rules = scoped(&self.alerts, watched.workflows);
        let mut made = 0;
        if !rules.is_empty() {
            let noted = self.ledger.checked_until().await?;
            // A mark in the future was made by a clock that was ahead: what comes before it is new
            // all the same.
            let after = noted
                .map_or(now.minus(FIRST_LOOK), |noted| noted.min(now))
                .minus(OVERLAP);
            let window = InstantRange { after, until: now };
            let facts = facts::gather(
                &self.ledger,
                &rules,
                watched,
                window,
                self.public_url.as_ref(),
            )
            .await?;
            let wanted = wanted(&rules, &facts, now);
            let planned = plan(&wanted, &self.ledger.open_incidents().await?, &rules, now);
            made = self.carry_out(planned, watched.workflows, now).await?;
            if noted.is_none_or(|noted| now.since(noted) >= NOTE || noted > now) {
                self.ledger.store_checked_until(now).await?;
            }
        }
        if self.mailer.is_some() {
            made += self.post_daily(now).await?;
            made += self.post_months(now).await?;
        }
        Ok(made)
    }

    async fn carry_out(
        &self,
        planned: IncidentChanges<'_, '_>,
        workflows: &[Arc<Workflow>],
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let keys: Vec<&str> = planned
            .begin
            .iter()
            .map(|wanted| wanted.key.as_str())
            .collect();
        let known = if keys.is_empty() {
            Vec::new()
        } else {
            self.ledger.known_events(&keys).await?
        };
        let mut changes = planned.changes;
        for wanted in planned
            .begin
            .into_iter()
            .filter(|wanted| !known.contains(&wanted.key))
        {
            changes.push(IncidentChange::Begin(NewIncident {
                key: wanted.key.clone(),
                kind: wanted.fact.kind,
                since: wanted.fact.since.unwrap_or(now),
                payload: self.payload(wanted.fact, workflows).await?,
                recipients: wanted.is_ripe().then(|| self.recipients(wanted, now)),
            }));
        }
        for (id, wanted) in planned.open {
            changes.push(IncidentChange::Open(id, self.recipients(wanted, now)));
        }
        for (id, wanted) in planned.tell {
            changes.push(IncidentChange::Tell(
                id,
                self.payload(wanted.fact, workflows).await?,
            ));
        }
        for (id, kind) in planned.close {
            // Whoever was woken for it hears that it is over.
            changes.push(IncidentChange::Close(
                id,
                if kind.is_urgent() {
                    now
                } else {
                    self.waking(now)
                },
            ));
        }
        let mut made = 0;
        for some in changes.chunks(CHANGES_MAX) {
            made += self.ledger.change_incidents(some, now).await?;
        }
        Ok(made)
    }

    /// What a mail says of a fact, on the wall clock of its workflow, or else of the project.
    async fn payload(
        &self,
        fact: &facts::Fact,
        workflows: &[Arc<Workflow>],
    ) -> Result<String, LedgerError> {
        let of_fact = |workflow: &&Arc<Workflow>| Some(&workflow.name) == fact.workflow.as_ref();
        let schedule = workflows
            .iter()
            .find(of_fact)
            .and_then(|workflow| workflow.schedule.as_ref());
        let zone = schedule.map_or(self.zone, |schedule| schedule.timetable.schedule().zone());
        facts::payload(&self.ledger, fact, zone).await
    }

    fn recipients(&self, wanted: &WantedFact<'_>, now: Timestamp) -> Recipients {
        let due_at = if wanted.fact.kind.is_urgent() {
            now
        } else {
            self.waking(now)
        };
        // Without a mail server there is nobody to keep it for.
        let to = wanted
            .to
            .iter()
            .filter(|_| self.mailer.is_some())
            .cloned()
            .collect();
        Recipients { to, due_at }
    }

    /// When people may hear of what can wait.
    fn waking(&self, now: Timestamp) -> Timestamp {
        self.alerts
            .quiet_hours
            .as_ref()
            .and_then(|quiet| quiet.over(now))
            .unwrap_or(now)
    }

    /// Deletes what was told and is over since long; some at a time, so say it again until it says
    /// zero.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn prune(&self, older_than: Duration) -> Result<u64, LedgerError> {
        // Events that could be found again must stay known.
        const LEAST: Duration = Duration::from_secs(60 * 86_400);
        self.ledger
            .prune_alerts(self.clock.now().minus(older_than.max(LEAST)))
            .await
    }
}
