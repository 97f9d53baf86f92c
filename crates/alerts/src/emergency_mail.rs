//! Telling that the disk or the ledger cannot be used, without either: mailed at once, remembered in
//! this process only.
//!
//! Each process tells for itself, at most once an hour for each kind, and once that it is over.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::AlertSendError;
use super::deliver::letterhead;
use super::facts::FactText;
use super::mail_body::{MailBody, emergency_body};
use super::mailer::{Mailer, OutgoingMail, SendOutcome};
use super::mask::masked;
use super::templates::{MailKind, Templates};
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_project::config::{AlertsConfig, Config};
use payrun_system::clock::Clock;

/// How often one incident is told.
const AGAIN: Duration = Duration::from_secs(3_600);

/// How long after a mail that did not go out another is tried.
const RETRY: Duration = Duration::from_secs(60);

/// What breaks the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Emergency {
    /// The disk has no room, or little. What was found.
    Disk(String),
    /// The ledger cannot be read or written. What it said.
    Database(String),
}

impl Emergency {
    const fn kind(&self) -> AlertKind {
        match self {
            Self::Disk(_) => AlertKind::Disk,
            Self::Database(_) => AlertKind::Database,
        }
    }

    fn payload(&self) -> FactText {
        let (title, what, advice) = match self {
            Self::Disk(what) => (
                "the disk is full or failing",
                what,
                "make room; nothing is sent while the ledger cannot be written",
            ),
            Self::Database(what) => (
                "the ledger cannot be used",
                what,
                "nothing is sent while it cannot be written; `payrun doctor` says more",
            ),
        };
        let lines = vec![masked(what)];
        FactText {
            title: title.to_owned(),
            facts: Vec::new(),
            lines,
            advice: advice.to_owned(),
        }
    }
}

/// Tells without the ledger.
#[derive(Debug)]
pub struct EmergencyMailer {
    alerts: AlertsConfig,
    mailer: Option<Mailer>,
    templates: Templates,
    clock: Clock,
    zone: chrono_tz::Tz,
    /// Where this is: the machine's name, or the project's.
    place: String,
    open: Mutex<HashMap<AlertKind, OpenEmergency>>,
}

/// An incident that was seen.
#[derive(Debug, Clone, Copy)]
struct OpenEmergency {
    /// When it is told next if it lasts.
    next: Timestamp,
    /// Whether anybody was told.
    told: bool,
}

impl EmergencyMailer {
    /// For a project; `place` is what mails name it by.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(config: &Config, place: &str, clock: Clock) -> Result<Self, AlertSendError> {
        let mailer = config
            .alerts
            .mail
            .as_ref()
            .map(Mailer::new)
            .transpose()
            .map_err(AlertSendError::Mail)?;
        Ok(Self {
            alerts: config.alerts.clone(),
            mailer,
            templates: Templates::load(&config.folder.join("templates"))?,
            clock,
            zone: config.timezone,
            place: place.to_owned(),
            open: Mutex::default(),
        })
    }

    /// Tells of these emergencies, and of those that were there before and are over; says how many
    /// mails were taken.
    ///
    /// Meant to be called every few seconds with what is wrong at that moment, also with nothing.
    pub async fn report(&self, emergencies: &[Emergency]) -> usize {
        let now = self.clock.now();
        let mut taken = 0;
        for emergency in emergencies {
            if self.is_due(emergency.kind(), now) {
                let mail_body = emergency_body(
                    emergency.kind(),
                    emergency.payload(),
                    false,
                    &self.place,
                    now,
                    self.zone,
                );
                let sent = self.send(emergency.kind(), &mail_body, now).await;
                self.note(emergency.kind(), sent > 0, now);
                taken += sent;
            }
        }
        let there: BTreeSet<AlertKind> = emergencies.iter().map(Emergency::kind).collect();
        for kind in self.over(&there) {
            let payload = FactText {
                title: over(kind).to_owned(),
                ..FactText::default()
            };
            taken += self
                .send(
                    kind,
                    &emergency_body(kind, payload, true, &self.place, now, self.zone),
                    now,
                )
                .await;
        }
        taken
    }

    fn is_due(&self, kind: AlertKind, now: Timestamp) -> bool {
        self.lock().get(&kind).is_none_or(|open| open.next <= now)
    }

    fn note(&self, kind: AlertKind, sent: bool, now: Timestamp) {
        let mut open = self.lock();
        let told = sent || open.get(&kind).is_some_and(|open| open.told);
        open.insert(
            kind,
            OpenEmergency {
                next: now.plus(if sent { AGAIN } else { RETRY }),
                told,
            },
        );
    }

    /// What is no longer there, and was told of.
    fn over(&self, there: &BTreeSet<AlertKind>) -> Vec<AlertKind> {
        let mut open = self.lock();
        let gone: Vec<(AlertKind, OpenEmergency)> =
            open.extract_if(|kind, _| !there.contains(kind)).collect();
        gone.into_iter()
            .filter(|(_, open)| open.told)
            .map(|(kind, _)| kind)
            .collect()
    }

    async fn send(&self, kind: AlertKind, mail_body: &MailBody, now: Timestamp) -> usize {
        let rules = self.alerts.rules.iter().filter(|rule| rule.on == kind);
        let to: BTreeSet<&String> = rules.flat_map(|rule| &rule.to).collect();
        let Some(mailer) = self.mailer.as_ref().filter(|_| !to.is_empty()) else {
            return 0;
        };
        let (plain, html) = self.templates.render(MailKind::Alert, mail_body);
        let mails: Vec<OutgoingMail> = to
            .into_iter()
            .map(|to| {
                letterhead(
                    &self.alerts,
                    String::new(),
                    to,
                    &mail_body.subject,
                    plain.clone(),
                    html.clone(),
                )
            })
            .map(|mail| OutgoingMail::plain(mail, now))
            .collect();
        let mut taken = 0;
        for tried in mailer.send(&mails).await {
            match tried {
                SendOutcome::Taken(_) => taken += 1,
                SendOutcome::Refused(said)
                | SendOutcome::NotNow(said)
                | SendOutcome::NoServer(said) => {
                    tracing::error!(
                        alert = kind.as_str(),
                        said = masked(&said),
                        "nobody could be told"
                    );
                }
            }
        }
        taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AlertKind, OpenEmergency>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn over(kind: AlertKind) -> &'static str {
    if kind == AlertKind::Disk {
        "the disk is full or failing"
    } else {
        "the ledger cannot be used"
    }
}
