//! The notifications of a play: what the gateways tell, when, how often, and what is wrong with it.
//! All drawn.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::HeaderMap;

use super::SimulationError;
use super::rng::Rng;
use super::world::SimAccount;
use payrun_ledger::{ItemFilter, ItemRow, Ledger};
use payrun_sandbox::TransactionKind;
use payrun_sandbox::notifications::events::{FinishedOrder, NotificationFlaw};

/// How many ends are remembered that can be told of.
const REMEMBERED: usize = 1_000;

/// A notification on its way.
pub(super) struct NotificationInTransit {
    /// The account it is for.
    pub account: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What is wrong with it, for the record.
    pub disruption: Option<&'static str>,
    /// Whether nobody may believe that it is the gateway's.
    pub is_false: bool,
}

/// What there is to tell.
#[derive(Debug, Default)]
pub(super) struct PendingNotifications(Vec<(String, FinishedOrder)>);

impl PendingNotifications {
    /// The next notification, if there is anything to tell: of an order that has ended, or
    /// something wrong about any order.
    pub async fn next(
        &mut self,
        rng: &mut Rng,
        places: &BTreeMap<String, SimAccount>,
        ledger: &Ledger,
    ) -> Result<Option<NotificationInTransit>, SimulationError> {
        for (account, place) in places {
            let ended = place
                .gateways
                .ended()
                .await
                .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
            let room = REMEMBERED.saturating_sub(self.0.len());
            self.0.extend(
                ended
                    .into_iter()
                    .take(room)
                    .map(|one| (account.clone(), one)),
            );
        }
        let twist = match rng.below(100) {
            0..=49 => None,
            50..=62 => Some(NotificationFlaw::Forged),
            63..=72 => Some(NotificationFlaw::Stale),
            73..=86 => Some(NotificationFlaw::OtherAmount),
            _ => Some(NotificationFlaw::Early),
        };
        let told = match twist {
            None | Some(NotificationFlaw::Stale) => self.of_an_end(rng),
            Some(
                NotificationFlaw::Forged | NotificationFlaw::OtherAmount | NotificationFlaw::Early,
            ) => of_any_order(rng, places, ledger).await?,
        };
        let Some((account, of)) = told else {
            return Ok(None);
        };
        let Some(place) = places.get(&account) else {
            return Ok(None);
        };
        let news = place
            .gateways
            .notification(&of, twist, place.signed_path())
            .await;
        let news = news.map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        Ok(news.map(|(headers, body)| NotificationInTransit {
            is_false: twist == Some(NotificationFlaw::Forged)
                || (twist == Some(NotificationFlaw::Stale) && of.gateway == "wechat"),
            disruption: disruption(twist),
            account,
            headers,
            body,
        }))
    }

    /// One that has ended; it may be told of again.
    fn of_an_end(&mut self, rng: &mut Rng) -> Option<(String, FinishedOrder)> {
        let place = usize::try_from(rng.below(self.0.len() as u64)).unwrap_or(0);
        let told = self.0.get(place).cloned();
        if told.is_some() && rng.per_mille(600) {
            self.0.swap_remove(place);
        }
        told
    }
}

async fn of_any_order(
    rng: &mut Rng,
    places: &BTreeMap<String, SimAccount>,
    ledger: &Ledger,
) -> Result<Option<(String, FinishedOrder)>, SimulationError> {
    let items: Vec<ItemRow> = ledger.items(&ItemFilter::default(), 0, 10_000).await?;
    let Some(item) = rng.one_of(&items) else {
        return Ok(None);
    };
    let job = ledger
        .jobs(item.run_id)
        .await?
        .into_iter()
        .find(|job| job.id == item.job_id);
    let kind = match job.as_ref().map(|job| job.kind.as_str()) {
        Some("deduct" | "pay") => TransactionKind::Payment,
        Some("refund") => TransactionKind::Refund,
        Some("cancel") => TransactionKind::Cancel,
        Some(_) | None => return Ok(None),
    };
    let place = job.and_then(|job| Some((job.lane.clone(), places.get(&job.lane)?.as_str())));
    let number = item.order_no.clone();
    Ok(place.zip(number).map(|((lane, gateway), number)| {
        (
            lane,
            FinishedOrder {
                gateway,
                kind,
                number,
            },
        )
    }))
}

const fn disruption(twist: Option<NotificationFlaw>) -> Option<&'static str> {
    match twist {
        None => None,
        Some(NotificationFlaw::Forged) => Some("notification_forged"),
        Some(NotificationFlaw::Stale) => Some("notification_stale"),
        Some(NotificationFlaw::OtherAmount) => Some("notification_of_another_amount"),
        Some(NotificationFlaw::Early) => Some("notification_out_of_order"),
    }
}
