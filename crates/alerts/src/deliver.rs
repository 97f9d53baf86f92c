//! From notices to mails, and from the outbox to the mail server.
//!
//! Somebody gets at most one mail in ten minutes, in a minute where something is urgent: what comes
//! meanwhile stands in the next one. A mail that is not taken is tried again after a minute, then
//! less and less often, for a week.

use std::time::Duration;

use super::mail_body::mail_body;
use super::mailer::{OutgoingMail, SendOutcome};
use super::templates::MailKind;
use super::{Alerts, mask};
use payrun_domain::time::Timestamp;
use payrun_ledger::{
    AlertEvent, DeliveryOutcome, DueRecipient, LedgerError, MailRow, MailState, NewMail,
};
use payrun_project::config::AlertsConfig;

/// How long nobody gets another mail.
const PAUSE: Duration = Duration::from_secs(600);
const URGENT_PAUSE: Duration = Duration::from_secs(60);

/// The most notices of one mail.
const NOTICES_MAX: u32 = 500;

/// How many mails one claim takes.
const CLAIM: u32 = 4;

/// How many claims one delivery makes at most.
const CLAIMS_MAX: usize = 25;

/// How long a claim holds: longer than connecting and sending may take for each of its mails.
const LEASE: Duration = Duration::from_secs(600);

/// The waits between tries.
const FIRST_WAIT: Duration = Duration::from_secs(60);
const LAST_WAIT: Duration = Duration::from_secs(3_600);

/// How long a mail is tried.
const HORIZON: Duration = Duration::from_secs(7 * 86_400);

/// What became of mails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// How many were put into the outbox.
    pub posted: usize,
    /// How many a server took.
    pub sent: usize,
    /// How many are tried again.
    pub waiting: usize,
    /// How many were given up: refused for good, or not taken for a week.
    pub lost: usize,
}

impl Alerts {
    /// Gathers what is due into mails and sends what is due of the outbox.
    ///
    /// Talks to the mail server, which may take a minute where that is slow: meant to be called
    /// every few seconds, one call after the other, beside everything else.
    ///
    /// # Errors
    /// Whatever the ledger says; what was sent and could not be noted is sent again.
    pub async fn deliver(&self) -> Result<DeliveryCounts, LedgerError> {
        let mut delivered = DeliveryCounts::default();
        if self.mailer.is_none() {
            return Ok(delivered);
        }
        let now = self.clock.now();
        for waiting in self.ledger.waiting_for_mail(now).await? {
            delivered.posted += usize::from(self.gather(&waiting, now).await?);
        }
        for _ in 0..CLAIMS_MAX {
            if !self.send_some(&mut delivered).await? {
                break;
            }
        }
        Ok(delivered)
    }

    /// Makes one mail of somebody's notices, if it is not too soon after the last one.
    async fn gather(&self, waiting: &DueRecipient, now: Timestamp) -> Result<bool, LedgerError> {
        let pause = if waiting.urgent { URGENT_PAUSE } else { PAUSE };
        // One in the future was made by a clock that was ahead.
        if waiting
            .last_mail
            .is_some_and(|last| last <= now && now.since(last) < pause)
        {
            return Ok(false);
        }
        let notices = self
            .ledger
            .due_alerts(&waiting.recipient, now, NOTICES_MAX)
            .await?;
        if notices.is_empty() {
            return Ok(false);
        }
        let told: Vec<(i64, AlertEvent)> = notices
            .iter()
            .map(|notice| (notice.incident_id, notice.event))
            .collect();
        let mail_body = mail_body(&notices, self.ledger.name(), now, self.zone);
        let (plain, html) = self.templates.render(MailKind::Alert, &mail_body);
        let name = format!("notices/{:032x}", rand::random::<u128>());
        let mail = letterhead(
            &self.alerts,
            name,
            &waiting.recipient,
            &mail_body.subject,
            plain,
            html,
        );
        self.ledger.post(&mail, &told, now).await
    }

    /// Sends some mails; false if none was due, or no server is there.
    async fn send_some(&self, delivered: &mut DeliveryCounts) -> Result<bool, LedgerError> {
        let Some(mailer) = &self.mailer else {
            return Ok(false);
        };
        let (lease, now) = (rand::random::<i64>(), self.clock.now());
        let claimed = self
            .ledger
            .claim_mails(lease, now, now.plus(LEASE), CLAIM)
            .await?;
        let mut mails = Vec::with_capacity(claimed.len());
        for row in &claimed {
            let attachments = match &self.attachments {
                Some(files) => files.read(&row.mail).await,
                None => Vec::new(),
            };
            mails.push(OutgoingMail {
                mail: row.mail.clone(),
                made_at: row.created_at,
                attachments,
            });
        }
        let tried = mailer.send(&mails).await;
        for (row, tried) in claimed.iter().zip(&tried) {
            self.settle(row, lease, tried, delivered).await?;
        }
        let away = tried
            .iter()
            .any(|tried| matches!(tried, SendOutcome::NoServer(_)));
        Ok(!claimed.is_empty() && !away)
    }

    async fn settle(
        &self,
        row: &MailRow,
        lease: i64,
        tried: &SendOutcome,
        delivered: &mut DeliveryCounts,
    ) -> Result<(), LedgerError> {
        let now = self.clock.now();
        let (outcome, said) = match tried {
            SendOutcome::Taken(said) => (DeliveryOutcome::Ended(MailState::Sent), said),
            SendOutcome::Refused(said) => (DeliveryOutcome::Ended(MailState::Refused), said),
            SendOutcome::NotNow(said) | SendOutcome::NoServer(said)
                if now.since(row.created_at) >= HORIZON =>
            {
                (DeliveryOutcome::Ended(MailState::Expired), said)
            }
            SendOutcome::NotNow(said) | SendOutcome::NoServer(said) => {
                (DeliveryOutcome::Again(now.plus(wait(row.tries))), said)
            }
        };
        match &outcome {
            DeliveryOutcome::Ended(MailState::Sent) => delivered.sent += 1,
            DeliveryOutcome::Again(_) => {
                delivered.waiting += 1;
                tracing::warn!(
                    mail.id = row.id,
                    said = mask::masked(said),
                    "a mail is not taken yet; it waits"
                );
            }
            DeliveryOutcome::Ended(
                MailState::Refused | MailState::Expired | MailState::Waiting,
            ) => {
                delivered.lost += 1;
                let said = mask::masked(said);
                tracing::error!(
                    mail.id = row.id,
                    said,
                    "a mail was given up; `payrun alerts list` shows it"
                );
            }
        }
        self.ledger
            .settle_mail(row.id, lease, &outcome, said, now)
            .await
            .map(|_| ())
    }

    /// Sends one mail to each at once, and says what the server said; for trying the settings. None
    /// where no server is configured.
    pub async fn test(&self, to: &[String]) -> Option<Vec<(String, SendOutcome)>> {
        let mailer = self.mailer.as_ref()?;
        let now = self.clock.now();
        let mail_body = super::preview::test_letter(self.ledger.name(), now, self.zone);
        let (plain, html) = self.templates.render(MailKind::Alert, &mail_body);
        let mails: Vec<OutgoingMail> = to
            .iter()
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
        Some(to.iter().cloned().zip(mailer.send(&mails).await).collect())
    }
}

/// How long until a mail that was tried so often is tried again.
fn wait(tries: u32) -> Duration {
    FIRST_WAIT
        .saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1).min(16)))
        .min(LAST_WAIT)
}

/// A mail under a message id of its own.
pub(super) fn letterhead(
    alerts: &AlertsConfig,
    name: String,
    recipient: &str,
    subject: &str,
    plain: String,
    html: String,
) -> NewMail {
    let domain = alerts
        .mail
        .as_ref()
        .map_or("localhost", |mail| mail.from.email.domain());
    NewMail {
        name,
        recipient: recipient.to_owned(),
        message_id: format!("<payrun.{:032x}@{domain}>", rand::random::<u128>()),
        subject: subject.to_owned(),
        plain,
        html,
        attachments: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_an_hour_and_no_further() {
        let minutes: Vec<u64> = (1..=9).map(|tries| wait(tries).as_secs() / 60).collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait(u32::MAX), LAST_WAIT);
    }
}
