//! Notifications in: verified, kept, acknowledged by whoever asked; later applied to the item they
//! are about.
//!
//! What is not the gateway's is refused and leaves nothing behind. What is kept is read again from
//! storage when it is applied, by the same way as a replay: the acknowledgement waits for the disk
//! only. What a notification may do to an item is decided in `ledger/items/apply_notification.rs`
//! and by the state machine.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::vault::VaultError;
use crate::attempt::numbers_of;
use crate::{Account, Engine};
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;
use payrun_gateway::notification::{Notification, OrderKind};
use payrun_gateway::redaction::names_person;
use payrun_gateway::{Delivery, Observation};
use payrun_ledger::{
    BookedItem, LedgerError, NewNotification, NotificationClaim, NotificationOutcome,
    NotificationRow,
};
use payrun_project::job_kinds::judge::{ExpectedReply, judge};
use payrun_project::job_kinds::{JobKind, StatementRole};

/// How many notifications are applied in one commit.
const PAGE: u32 = 64;

/// How long an order may be unknown here before somebody is told: it may be planned by another
/// process just now.
const ORDER_KNOWN_WITHIN: Duration = Duration::from_secs(3_600);
/// The shortest and the longest wait until an unknown order is looked for again.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// What came of a notification that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiveOutcome {
    /// It is on disk, and may be acknowledged.
    Kept,
    /// It is not the gateway's. Says why.
    Refused(String),
    /// Whether it is the gateway's cannot be known just now: its keys cannot be had. Says why. It
    /// must not be acknowledged.
    NoKeys(String),
    /// There is no such account.
    NoSuchGateway,
}

/// Why a notification was not kept; it must not be acknowledged.
#[derive(Debug, Error)]
pub enum ReceiveError {
    /// The ledger did not take it.
    #[error("the notification was not kept")]
    Ledger(#[from] LedgerError),
    /// It names a person, and there is nothing to seal it with.
    #[error(
        "it names a person (openid), and payrun.yaml has no encryption_key to keep that under: make one, as docs/keys.md says"
    )]
    NoKey,
    /// It could not be sealed.
    #[error("the notification was not sealed")]
    Seal(#[from] VaultError),
}

/// Why a notification that was kept cannot be read again.
#[derive(Debug, Error)]
pub enum UnreadableReason {
    /// The gateway's keys cannot be had just now; it is read as soon as they can.
    #[error("{0}")]
    NoKeys(String),
    /// Something is missing that a person may put back: a key, or the account.
    #[error("{0}")]
    Lacking(String),
    /// The ledger did not say, or what it holds was never written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Engine {
    /// Verifies a notification for an account and keeps it. When this has said
    /// [`ReceiveOutcome::Kept`], it is on disk.
    ///
    /// # Errors
    /// Why it was not kept.
    pub async fn receive(
        &self,
        account: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<ReceiveOutcome, ReceiveError> {
        let Some(account) = self.accounts.get(account) else {
            return Ok(ReceiveOutcome::NoSuchGateway);
        };
        let kept = account.gateway.notification_protocol().signed_by;
        let kept: BTreeMap<&str, &str> = kept
            .iter()
            .filter_map(|name| Some((name.as_str(), headers.get(name.as_str())?.to_str().ok()?)))
            .collect();
        let own = kept.keys().filter_map(|name| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name.clone(), headers.get(name)?.clone()))
        });
        let notice = Notification {
            headers: own.collect(),
            body,
            received_at: self.clock.now(),
        };
        let seen = account.gateway.verify_notification(&notice).await;
        match seen.delivery {
            Delivery::Unverified(why) => return Ok(ReceiveOutcome::Refused(why)),
            Delivery::NoKeys(why) => return Ok(ReceiveOutcome::NoKeys(why)),
            Delivery::NotSent(_)
            | Delivery::Unreachable(..)
            | Delivery::Refused(_)
            | Delivery::Unsendable(_)
            | Delivery::TimedOut
            | Delivery::Lost(_)
            | Delivery::Unreadable(_)
            | Delivery::Replied => {}
        }
        if self.vault.is_none() && names_person(&notice.body) {
            return Err(ReceiveError::NoKey);
        }
        let digest = digest_of(account, &notice.body);
        let text = STANDARD.encode(&notice.body);
        let new = NewNotification {
            lane: account.name.clone(),
            received_at: notice.received_at,
            headers: serde_json::to_string(&kept).unwrap_or_default(),
            body: match &self.vault {
                Some(vault) => vault.seal_notification(&text, &digest)?,
                None => text,
            },
            sealed: self.vault.is_some(),
            // What is longer is none of ours.
            order_no: seen
                .order_no
                .filter(|number| OrderNumber::parse(number).is_ok()),
            digest,
        };
        self.ledger.keep_notification(new).await?;
        Ok(ReceiveOutcome::Kept)
    }

    /// Applies notifications that are due; says how many were looked at. As long as there are any,
    /// it is worth calling again.
    ///
    /// # Errors
    /// Whatever the ledger says; what was not applied stays due.
    pub async fn process_notifications(&self) -> Result<usize, LedgerError> {
        let due = self
            .ledger
            .notifications_due(self.clock.now(), PAGE)
            .await?;
        self.process(&due).await?;
        Ok(due.len())
    }

    /// Applies kept notifications once more, whatever became of them; what became of each now.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn replay_notifications(
        &self,
        rows: &[NotificationRow],
    ) -> Result<Vec<NotificationOutcome>, LedgerError> {
        self.process(rows).await
    }

    /// What a kept notification says, sensitive fields masked.
    ///
    /// # Errors
    /// Why it cannot be read any more, or not now.
    pub async fn read_notification(
        &self,
        row: &NotificationRow,
    ) -> Result<Observation, UnreadableReason> {
        let no_gateway = || UnreadableReason::Lacking(format!("there is no gateway {}", row.lane));
        let account = self.accounts.get(&row.lane).ok_or_else(no_gateway)?;
        let notice = self.notification_of(row, account).await?;
        let seen = account.gateway.verify_notification(&notice).await;
        match seen.delivery {
            Delivery::Unverified(why) => Err(UnreadableReason::Lacking(format!(
                "it is no longer verified: {why}"
            ))),
            Delivery::NoKeys(why) => Err(UnreadableReason::NoKeys(why)),
            Delivery::NotSent(_)
            | Delivery::Unreachable(..)
            | Delivery::Refused(_)
            | Delivery::Unsendable(_)
            | Delivery::TimedOut
            | Delivery::Lost(_)
            | Delivery::Unreadable(_)
            | Delivery::Replied => Ok(seen),
        }
    }

    async fn process(
        &self,
        rows: &[NotificationRow],
    ) -> Result<Vec<NotificationOutcome>, LedgerError> {
        let mut outcomes = vec![NotificationOutcome::Open; rows.len()];
        let (mut places, mut all) = (Vec::new(), Vec::new());
        for (place, row) in rows.iter().enumerate() {
            match self.understand(row).await {
                Ok(Interpretation::Says(said)) => {
                    places.push(place);
                    all.push(*said);
                }
                Ok(Interpretation::Ends(outcome, detail, due)) => {
                    self.ledger
                        .end_notification(row.id, outcome, &detail, due)
                        .await?;
                    outcomes[place] = outcome;
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => outcomes[place] = self.put_off(row.id, &error).await?,
            }
        }
        for (place, outcome) in places.into_iter().zip(self.apply(&all).await?) {
            warn_of(&rows[place], outcome);
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }

    /// All in one commit; one by one where one of them will not be taken.
    async fn apply(
        &self,
        all: &[NotificationClaim],
    ) -> Result<Vec<NotificationOutcome>, LedgerError> {
        if all.is_empty() {
            return Ok(Vec::new());
        }
        let error = match self.ledger.apply_notifications(all).await {
            Ok(outcomes) => return Ok(outcomes),
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => error,
        };
        tracing::warn!(error = %error, "notifications are applied one by one");
        let mut outcomes = Vec::with_capacity(all.len());
        for said in all {
            outcomes.push(
                match self
                    .ledger
                    .apply_notifications(std::slice::from_ref(said))
                    .await
                {
                    Ok(one) => one.into_iter().next().unwrap_or(NotificationOutcome::Open),
                    Err(error) => self.put_off(said.notification, &error).await?,
                },
            );
        }
        Ok(outcomes)
    }

    /// One that the ledger will not take must not hold up the others.
    async fn put_off(
        &self,
        id: i64,
        error: &LedgerError,
    ) -> Result<NotificationOutcome, LedgerError> {
        tracing::error!(notification.id = id, error = %error, "a notification was not applied; it is tried again later");
        let again = Some(self.clock.now().plus(LOOK_AGAIN.1));
        self.ledger
            .end_notification(id, NotificationOutcome::Open, &error.to_string(), again)
            .await?;
        Ok(NotificationOutcome::Open)
    }

    async fn understand(&self, row: &NotificationRow) -> Result<Interpretation, LedgerError> {
        let now = self.clock.now();
        let (account, seen) = match (
            self.accounts.get(&row.lane),
            self.read_notification(row).await,
        ) {
            (Some(account), Ok(seen)) => (account, seen),
            // It was verified once: as soon as the keys can be had it is again.
            (_, Err(UnreadableReason::NoKeys(why))) => {
                return Ok(Interpretation::Ends(
                    NotificationOutcome::Open,
                    why,
                    Some(look_again(row, now)),
                ));
            }
            // Somebody may put back a key or an account.
            (_, Err(UnreadableReason::Lacking(why))) => {
                return Ok(wait_or_end(row, now, NotificationOutcome::Unreadable, &why));
            }
            (_, Err(UnreadableReason::Ledger(error))) => return Err(error),
            (None, Ok(_)) => {
                return Ok(wait_or_end(
                    row,
                    now,
                    NotificationOutcome::Unreadable,
                    "there is no such gateway",
                ));
            }
        };
        if let Delivery::Unreadable(why) = &seen.delivery {
            tracing::warn!(
                notification.id = row.id,
                lane.name = row.lane,
                why,
                "a notification cannot be read"
            );
            return Ok(Interpretation::Ends(
                NotificationOutcome::Unreadable,
                why.clone(),
                None,
            ));
        }
        let number = seen
            .order_no
            .as_deref()
            .and_then(|number| OrderNumber::parse(number).ok());
        let (Some(number), Some(subject)) = (number, seen.about) else {
            return Ok(Interpretation::Ends(
                NotificationOutcome::UnknownOrder,
                "it names no order of ours".to_owned(),
                None,
            ));
        };
        let kinds = self.kinds_about(account, subject);
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
        let items = self
            .ledger
            .items_by_order_no(&account.name, &names, &[number.as_str()])
            .await?;
        let item = items.iter().find(|item| item.has_used(number.as_str()));
        let Some((item, kind)) =
            item.and_then(|item| Some((item, kinds.iter().find(|kind| kind.name == item.kind)?)))
        else {
            return Ok(wait_or_end(
                row,
                now,
                NotificationOutcome::UnknownOrder,
                "nobody here has such an order",
            ));
        };
        Ok(Interpretation::Says(Box::new(notification_claim(
            account, kind, item, number, row.id, seen, now,
        ))))
    }

    /// The kinds of job whose items a notification about this may be of.
    fn kinds_about(&self, account: &Account, subject: OrderKind) -> Vec<&JobKind> {
        let side = match subject {
            OrderKind::Payment => StatementRole::Payment,
            OrderKind::Refund => StatementRole::Refund,
            OrderKind::Cancellation => StatementRole::Reversal,
        };
        let kinds = self.job_kinds.by_name.values().map(|kind| &**kind);
        kinds
            .filter(|kind| {
                kind.in_statement == Some(side) && kind.gateways.contains_key(account.kind)
            })
            .collect()
    }

    /// A notification as it came in, and as it was kept.
    async fn notification_of(
        &self,
        row: &NotificationRow,
        account: &Account,
    ) -> Result<Notification, UnreadableReason> {
        let lacking = |why: &str| UnreadableReason::Lacking(why.to_owned());
        let corrupt = |column| LedgerError::corrupt("notifications", row.id, column);
        let headers: BTreeMap<&str, &str> =
            serde_json::from_str(&row.headers).map_err(|_| corrupt("headers"))?;
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| corrupt("body"));
        let body = if row.sealed {
            let vault = self
                .vault
                .as_ref()
                .ok_or_else(|| lacking("it is sealed, and encryption_key is not in payrun.yaml"))?;
            // What is sealed is bound to its digest.
            decoded(
                &vault
                    .open_notification(&row.body, &row.digest)
                    .map_err(|error| lacking(&error.to_string()))?,
            )?
        } else {
            let sealed_before = self.ledger.sealed_a_notification_before(row.id).await?;
            if self.vault.is_some() && sealed_before {
                return Err(lacking(
                    "it is not sealed, as those before it are: it was changed in the ledger",
                ));
            }
            decoded(&row.body)?
        };
        // Of what is older the whole body was taken.
        if !row.sealed
            && ![
                digest_of(account, &body),
                hex::encode(Sha256::digest(&body)),
            ]
            .contains(&row.digest)
        {
            return Err(lacking(
                "its body is not the one whose digest was kept: it was changed in the ledger",
            ));
        }
        Ok(Notification {
            headers: headers_of(&headers).ok_or_else(|| corrupt("headers"))?,
            body: body.into(),
            received_at: row.received_at,
        })
    }
}

/// The digest of what is signed of a notification, by which the same one is known again.
fn digest_of(account: &Account, body: &[u8]) -> String {
    hex::encode(Sha256::digest(account.gateway.signed_part(body)))
}

/// What a kept notification comes to.
enum Interpretation {
    /// It says something of an item.
    Says(Box<NotificationClaim>),
    /// It ends so, or waits until an instant.
    Ends(NotificationOutcome, String, Option<Timestamp>),
}

/// It is looked at again after as long as it has waited, and ends after a while.
fn wait_or_end(
    row: &NotificationRow,
    now: Timestamp,
    outcome: NotificationOutcome,
    why: &str,
) -> Interpretation {
    let waited = now.since(row.received_at);
    if waited < ORDER_KNOWN_WITHIN {
        return Interpretation::Ends(
            NotificationOutcome::Open,
            why.to_owned(),
            Some(look_again(row, now)),
        );
    }
    let order = row.order_no.as_deref();
    tracing::warn!(
        notification.id = row.id,
        lane.name = row.lane,
        order.no = order,
        why,
        "a notification leads nowhere"
    );
    Interpretation::Ends(outcome, why.to_owned(), None)
}

/// After as long as it has waited.
fn look_again(row: &NotificationRow, now: Timestamp) -> Timestamp {
    now.plus(now.since(row.received_at).clamp(LOOK_AGAIN.0, LOOK_AGAIN.1))
}

fn notification_claim(
    account: &Account,
    kind: &JobKind,
    item: &BookedItem,
    order_no: OrderNumber,
    notification: i64,
    seen: Observation,
    now: Timestamp,
) -> NotificationClaim {
    NotificationClaim {
        notification,
        item_id: item.id,
        answer: answer(account, kind, item, &order_no, &seen),
        amount: seen.amount.clone().and_then(Result::ok),
        differs: seen.differs(order_no.as_str(), item.amount),
        order_no,
        numbers: numbers_of(&seen),
        facts: seen.result,
        evidence: seen.evidence,
        query_interval: account.query_interval,
        now,
    }
}

/// What it means, by the table of the query of the same thing: a notification says what the query
/// would.
fn answer(
    account: &Account,
    kind: &JobKind,
    item: &BookedItem,
    number: &OrderNumber,
    seen: &Observation,
) -> Answer {
    // Money is believed to have moved only in our amount: one that names none is a reason to ask.
    let says_how_much = item.amount.is_none() || seen.amount.is_some();
    let says_enough = seen.state.is_some() && says_how_much;
    let Some(operations) = kind.gateways.get(account.kind).filter(|_| says_enough) else {
        // It only says whose order it is about.
        return Answer::Unknown {
            cause: Cause::Ambiguous,
            code: String::new(),
        };
    };
    let amount = item.amount;
    #[cfg(feature = "mutation")]
    let amount = crate::mutation::expected(amount);
    let expected = ExpectedReply {
        order_no: Some(number.clone()),
        amount,
        amount_may_lack: false,
        accepted: item.state == State::Pending,
        named: !operations.named_by.is_empty(),
        // What depends on the item's fields or on refunds, the query is asked about.
        refunded: true,
        ..ExpectedReply::default()
    };
    let as_asked = Observation {
        http: Some(200),
        ..seen.clone()
    };
    let judged = judge(
        &operations.query_outcomes,
        true,
        kind.effect,
        &as_asked,
        &expected,
    );
    if !judged.listed {
        let (lane, code) = (account.name.as_str(), judged.answer.code());
        tracing::warn!(
            lane.name = lane,
            item.id = item.id,
            code,
            "no outcome table lists what a notification says"
        );
    }
    judged.answer
}

/// What a person should look at.
fn warn_of(row: &NotificationRow, outcome: NotificationOutcome) {
    match outcome {
        NotificationOutcome::Contradicts | NotificationOutcome::Mismatch => {
            let (lane, order) = (row.lane.as_str(), row.order_no.as_deref());
            let outcome = outcome.as_str();
            tracing::error!(
                notification.id = row.id,
                lane.name = lane,
                order.no = order,
                outcome,
                "a notification contradicts what is known; look at it before anything else is sent"
            );
        }
        NotificationOutcome::Open
        | NotificationOutcome::Applied
        | NotificationOutcome::Queried
        | NotificationOutcome::NoChange
        | NotificationOutcome::UnknownOrder
        | NotificationOutcome::Unreadable => {}
    }
}

/// None if one of them is no header: without it a signature says nothing.
fn headers_of(kept: &BTreeMap<&str, &str>) -> Option<HeaderMap> {
    let read = |(name, value): (&&str, &&str)| {
        Some((
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value).ok()?,
        ))
    };
    kept.iter().map(read).collect()
}
