//! Sends the gateways' notifications over sockets, as often and as late as the gateways do, with
//! time compressed; and with what goes wrong on the way, by the seed.
//!
//! It knows whether it was understood by each gateway's own sign (docs/gateways/README.md, "Overview").
//! What is not taken is sent again until the gateway's schedule ends; then it is given up, as the
//! gateways do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::faults::{FaultPlan, Level};
use crate::notifications::events::{FinishedOrder, NotificationFlaw};
use crate::shared::transactions::TransactionKind;
use crate::{Gateways, StoreError};

/// How often it is looked for orders that have ended.
const LOOK: Duration = Duration::from_millis(50);

/// How many notifications may be on their way at once, and how many may wait to be sent again.
const AT_ONCE: usize = 32;
const WAITING_MAX: usize = 100_000;

/// How long a gateway waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The waits before a notification is sent again, in seconds (docs/gateways, "Notifications"). EVO
/// documents none: a few are made up. WeChat Pay tells of deductions for about three hours, and of
/// refunds for a day.
const DEDUCTION: [u64; 9] = [15, 15, 30, 180, 1800, 1800, 1800, 1800, 3600];
const WECHAT: [u64; 15] = [
    15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600, 21600,
];
const HIPOPAY: [u64; 10] = [1, 2, 4, 8, 60, 60, 60, 600, 600, 1800];
const CBTIS: [u64; 9] = [15, 30, 60, 300, 600, 1800, 3600, 7200, 14400];
const EGMS: [u64; 3] = [15, 60, 300];

/// Where notifications go, and how.
#[derive(Debug, Clone)]
pub struct Address {
    /// By kind of gateway: the whole address.
    pub urls: BTreeMap<&'static str, String>,
    /// The path that EGMS signs, where that is not the path of its address.
    pub signed_path: Option<String>,
    /// By how much every wait is shorter than the real one.
    pub compressed: u32,
}

/// What was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderCounts {
    /// Requests that were made.
    pub requests: u64,
    /// Of those, taken in the gateway's own way.
    pub taken: u64,
    /// Notifications that were given up.
    pub given_up: u64,
}

/// What goes wrong with the notification of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryFault {
    /// It is never sent.
    Missing,
    /// It is sent late.
    Delayed,
    /// It is sent again though it was taken.
    Repeated,
    /// Before it another one comes that is wrong in this way.
    After(NotificationFlaw),
    /// After it one comes that tells of an earlier state.
    OutOfOrder,
}

const TROUBLES: [DeliveryFault; 7] = [
    DeliveryFault::Missing,
    DeliveryFault::Delayed,
    DeliveryFault::Repeated,
    DeliveryFault::After(NotificationFlaw::Forged),
    DeliveryFault::After(NotificationFlaw::Stale),
    DeliveryFault::After(NotificationFlaw::OtherAmount),
    DeliveryFault::OutOfOrder,
];

/// A notification to be sent.
#[derive(Debug, Clone)]
struct QueuedNotification {
    due: Instant,
    of: FinishedOrder,
    twist: Option<NotificationFlaw>,
    tries: usize,
    /// How often more it is sent though it is taken.
    repeats: u32,
}

/// Sends until it is dropped.
#[derive(Debug)]
pub struct NotificationSender {
    gateways: Gateways,
    address: Address,
    plan: FaultPlan,
    client: reqwest::Client,
    waiting: Vec<QueuedNotification>,
    sent: SenderCounts,
}

impl NotificationSender {
    /// For these gateways, whose settings must note ends.
    pub fn new(gateways: Gateways, address: Address, plan: FaultPlan) -> Self {
        let sent = SenderCounts::default();
        Self {
            gateways,
            address,
            plan,
            client: reqwest::Client::new(),
            waiting: Vec::new(),
            sent,
        }
    }

    /// Sends what comes, for ever.
    pub async fn run(mut self) {
        loop {
            if let Err(error) = self.step().await {
                tracing::error!(%error, "the sandbox's books failed; notifications wait");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Looks for orders that have ended, and sends what is due; what was sent so far.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn step(&mut self) -> Result<SenderCounts, StoreError> {
        for ended in self.gateways.ended().await? {
            self.take_up(ended);
        }
        let now = tokio::time::Instant::now();
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|one| one.due <= now);
        self.waiting = later;
        self.send(due).await?;
        Ok(self.sent)
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    fn take_up(&mut self, of: FinishedOrder) {
        let now = tokio::time::Instant::now();
        let delivery = |due, twist, repeats| QueuedNotification {
            due,
            of: of.clone(),
            twist,
            tries: 0,
            repeats,
        };
        let later = now + self.wait(&of, 0) * 2;
        match self.trouble(&of.number) {
            None => self.put(delivery(now, None, 0)),
            Some(DeliveryFault::Missing) => {}
            Some(DeliveryFault::Delayed) => self.put(delivery(later, None, 0)),
            Some(DeliveryFault::Repeated) => self.put(delivery(now, None, 2)),
            Some(DeliveryFault::After(twist)) => {
                self.put(delivery(now, Some(twist), 0));
                self.put(delivery(later, None, 0));
            }
            Some(DeliveryFault::OutOfOrder) => {
                self.put(delivery(now, None, 0));
                self.put(delivery(later, Some(NotificationFlaw::Early), 0));
            }
        }
    }

    fn put(&mut self, delivery: QueuedNotification) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(delivery);
        } else {
            self.sent.given_up += 1;
        }
    }

    /// What goes wrong with an order's notification: a function of the seed and the order number.
    fn trouble(&self, number: &str) -> Option<DeliveryFault> {
        let share = match self.plan.level {
            Level::None => 0,
            Level::Some => 15,
            Level::Heavy => 60,
        };
        let has_fault = self.plan.draw(number, "notification", 0) % 100 < share;
        let which =
            usize::try_from(self.plan.draw(number, "notification", 1) % TROUBLES.len() as u64)
                .unwrap_or(0);
        TROUBLES.get(which).copied().filter(|_| has_fault)
    }

    async fn send(&mut self, due: Vec<QueuedNotification>) -> Result<(), StoreError> {
        let (places, mut calls) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        for delivery in due {
            let Some(request) = self.request(&delivery).await? else {
                continue;
            };
            let (places, gateway) = (Arc::clone(&places), delivery.of.gateway);
            calls.spawn(async move {
                let _place = places.acquire_owned().await;
                (delivery, taken(gateway, request).await)
            });
        }
        while let Some(done) = calls.join_next().await {
            let Ok((delivery, taken)) = done else {
                continue;
            };
            self.sent.requests += 1;
            self.sent.taken += u64::from(taken);
            self.requeue(delivery, taken);
        }
        Ok(())
    }

    fn requeue(&mut self, delivery: QueuedNotification, taken: bool) {
        let tries = delivery.tries + 1;
        // What is forged or stale is not sent again: it was never meant to be taken.
        let again = !taken
            && !matches!(
                delivery.twist,
                Some(NotificationFlaw::Forged | NotificationFlaw::Stale)
            );
        if taken && delivery.repeats > 0 {
            let due = tokio::time::Instant::now() + self.wait(&delivery.of, 0);
            self.put(QueuedNotification {
                due,
                tries,
                repeats: delivery.repeats - 1,
                ..delivery
            });
        } else if again && delivery.tries < schedule(&delivery.of).len() {
            let due = tokio::time::Instant::now() + self.wait(&delivery.of, delivery.tries);
            self.put(QueuedNotification {
                due,
                tries,
                ..delivery
            });
        } else if again {
            self.sent.given_up += 1;
        }
    }

    async fn request(
        &self,
        delivery: &QueuedNotification,
    ) -> Result<Option<reqwest::RequestBuilder>, StoreError> {
        let gateway = delivery.of.gateway;
        let Some(url) = self.address.urls.get(gateway) else {
            return Ok(None);
        };
        let own_path = reqwest::Url::parse(url)
            .map(|url| url.path().to_owned())
            .unwrap_or_default();
        let path = self.address.signed_path.as_deref().unwrap_or(&own_path);
        let Some((mut headers, body)) = self
            .gateways
            .notification(&delivery.of, delivery.twist, path)
            .await?
        else {
            return Ok(None);
        };
        let media = if gateway == "hipopay" {
            "application/x-www-form-urlencoded"
        } else {
            "application/json"
        };
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static(media),
        );
        Ok(Some(
            self.client
                .post(url)
                .headers(headers)
                .body(body)
                .timeout(PATIENCE),
        ))
    }

    /// The wait before a notification is sent for the `nth` time again.
    fn wait(&self, of: &FinishedOrder, nth: usize) -> Duration {
        let seconds = schedule(of).get(nth).copied().unwrap_or(0);
        Duration::from_secs(seconds) / self.address.compressed.max(1)
    }
}

fn schedule(of: &FinishedOrder) -> &'static [u64] {
    match (of.gateway, of.kind) {
        ("wechat", TransactionKind::Payment) => &DEDUCTION,
        ("wechat", _) => &WECHAT,
        ("hipopay", _) => &HIPOPAY,
        ("cbtis", _) => &CBTIS,
        (_, _) => &EGMS,
    }
}

/// Sends, and tells whether it was taken, by the gateway's own sign.
async fn taken(gateway: &str, request: reqwest::RequestBuilder) -> bool {
    let Ok(mut response) = request.send().await else {
        return false;
    };
    let status = response.status();
    // What is wanted comes in one piece.
    let body = response.chunk().await.ok().flatten().unwrap_or_default();
    match gateway {
        "hipopay" => &body[..] == b"success",
        "egms" => status == http::StatusCode::OK && &body[..] == b"SUCCESS",
        "cbtis" => status == http::StatusCode::OK,
        _ => status.is_success(),
    }
}
