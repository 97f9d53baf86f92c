//! What the gateways tell of their own accord, and the ways in which that goes wrong. Nothing is
//! sent here.

use bytes::Bytes;
use http::HeaderMap;

use crate::shared::transactions::{Transaction, TransactionKind, TransactionState};
use crate::{Gateways, StoreError};
use payrun_domain::time::Timestamp;

/// How far back a stale notification says that it was signed: further than anybody takes.
const STALE: std::time::Duration = std::time::Duration::from_secs(2 * 86_400);

/// An order that has reached an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedOrder {
    /// Whose it is: the kind of gateway.
    pub gateway: &'static str,
    /// What it is.
    pub kind: TransactionKind,
    /// The merchant's number.
    pub number: String,
}

/// What is wrong with a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationFlaw {
    /// Its signature is of another body.
    Forged,
    /// It was signed two days ago, as far as a signature of this gateway tells.
    Stale,
    /// It tells of a success with one minor unit more, whatever became of the order.
    OtherAmount,
    /// It tells how the order stood before it ended.
    Early,
}

impl Gateways {
    /// What has reached an end since this was asked last, as far as the gateways tell of it. What
    /// is ripe is decided first.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn ended(&self) -> Result<Vec<FinishedOrder>, StoreError> {
        if let Some(wechat) = &self.wechat {
            wechat.decide_deductions().await?;
        }
        let mut all = Vec::new();
        for gateway in crate::gateways::GATEWAYS {
            let Some(counter) = self.responder(gateway) else {
                continue;
            };
            let mut transactions = counter.transactions();
            let ended = transactions.take_ended(&counter.settings, counter.clock.now());
            let told = ended.into_iter().filter(|(kind, number)| {
                let state = transactions.entry(*kind, number).map(|entry| entry.state);
                tells(gateway, *kind, number, state)
            });
            all.extend(told.map(|(kind, number)| FinishedOrder {
                gateway,
                kind,
                number,
            }));
        }
        Ok(all)
    }

    /// The notification of an order, as it stands or twisted; `path` is that of the webhook, which
    /// EGMS signs.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn notification(
        &self,
        of: &FinishedOrder,
        twist: Option<NotificationFlaw>,
        path: &str,
    ) -> Result<Option<(HeaderMap, Bytes)>, StoreError> {
        let Some(entry) = self.entry(of).await? else {
            return Ok(None);
        };
        let minor = entry.minor;
        let entry = match twist {
            Some(NotificationFlaw::OtherAmount) => {
                entry.pretending(TransactionState::Done, minor + 1)
            }
            Some(NotificationFlaw::Early) => entry.pretending(TransactionState::Open, minor),
            Some(NotificationFlaw::Forged | NotificationFlaw::Stale) | None => entry,
        };
        let told = self.notification_of(of, &entry, twist == Some(NotificationFlaw::Stale), path);
        Ok(told.map(|(headers, body)| {
            let forged = twist == Some(NotificationFlaw::Forged);
            (
                headers,
                if forged {
                    Bytes::from([&body[..], b" "].concat())
                } else {
                    body
                },
            )
        }))
    }

    async fn entry(&self, of: &FinishedOrder) -> Result<Option<Transaction>, StoreError> {
        match (&self.wechat, of.gateway, of.kind) {
            (Some(wechat), "wechat", TransactionKind::Payment) => wechat.payment(&of.number).await,
            _ => Ok(self
                .responder(of.gateway)
                .and_then(|counter| counter.transactions().entry(of.kind, &of.number).cloned())),
        }
    }

    fn notification_of(
        &self,
        of: &FinishedOrder,
        entry: &Transaction,
        stale: bool,
        path: &str,
    ) -> Option<(HeaderMap, Bytes)> {
        let signed_at = |now: Timestamp| if stale { now.minus(STALE) } else { now };
        match of.gateway {
            "wechat" => {
                let fake = self.wechat.as_ref()?;
                fake.notification_of(
                    of.kind,
                    entry,
                    signed_at(fake.payments.responder.clock.now()),
                )
            }
            "hipopay" => {
                let fake = self.hipopay.as_ref()?;
                fake.notification_of(entry, signed_at(fake.responder.clock.now()))
            }
            "egms" => {
                let fake = self.egms.as_ref()?;
                fake.notification_of(of.kind, entry, path, signed_at(fake.responder.clock.now()))
            }
            "cbtis" => self.cbtis.as_ref()?.notification_of(of.kind, entry),
            _ => None,
        }
    }
}

/// Of which ends the gateways tell (docs/gateways, "Notifications"). A deduction that
/// is not among the transactions has been paid.
fn tells(
    gateway: &str,
    kind: TransactionKind,
    number: &str,
    state: Option<TransactionState>,
) -> bool {
    let done = matches!(state, None | Some(TransactionState::Done));
    match (gateway, kind) {
        // A reversal is kept as a refund with a number that no merchant can give.
        ("wechat", TransactionKind::Refund) => !number.contains(' '),
        ("wechat" | "hipopay" | "cbtis", TransactionKind::Payment)
        | ("cbtis", TransactionKind::Refund) => done,
        ("egms", _) => true,
        _ => false,
    }
}
