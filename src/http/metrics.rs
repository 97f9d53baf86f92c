//! `/metrics`, for Prometheus: the ledger's sums as gauges, and what this process counted.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::error::ApiError;
use super::{App, webhooks};
use crate::engine::Engine;
use crate::ledger::LedgerError;

type Labels = Vec<(&'static str, String)>;
type GaugeFamily = Family<Labels, Gauge>;

/// Everything that is measured.
pub(super) async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let mut registry = Registry::with_prefix("payrun");
    app.engine().metrics.register(&mut registry);
    let gauges = Gauges::new(&mut registry);
    gauges.fill(app.engine()).await?;
    for (gateway, answered) in app.webhook_limiter.answered() {
        let webhooks::WebhookAnswerCounts {
            taken,
            refused,
            unfit,
            failed,
        } = answered;
        for (answer, times) in [
            ("taken", taken),
            ("refused", refused),
            ("unfit", unfit),
            ("failed", failed),
        ] {
            let labels = vec![("gateway", gateway.clone()), ("answer", answer.to_owned())];
            gauges
                .notifications
                .get_or_create(&labels)
                .set(i64::try_from(times).unwrap_or(i64::MAX));
        }
    }
    for duty in app.service.health.unwell() {
        gauges
            .unwell
            .get_or_create(&vec![("duty", duty.duty.to_owned())])
            .set(1);
    }
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|_| ApiError::unavailable("the metrics cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What is read from the ledger.
struct Gauges {
    items: GaugeFamily,
    minor: GaugeFamily,
    unknown: GaugeFamily,
    tokens: GaugeFamily,
    delay: GaugeFamily,
    notifications: GaugeFamily,
    unreachable: GaugeFamily,
    unwell: GaugeFamily,
}

impl Gauges {
    fn new(registry: &mut Registry) -> Self {
        let mut gauge = |name: &str, help: &str| {
            let numbers = GaugeFamily::default();
            registry.register(name, help, numbers.clone());
            numbers
        };
        Self {
            items: gauge("items", "Items by state"),
            minor: gauge(
                "money_minor",
                "Money in minor units, by state and currency, without rejected and skipped rows",
            ),
            unknown: gauge(
                "unknown_items",
                "Items that are unknown, for longer than so many seconds",
            ),
            tokens: gauge(
                "lane_tokens_milli",
                "Calls that an account allowed at once when last looked at, in thousandths",
            ),
            delay: gauge(
                "queue_delay_milliseconds",
                "Since when the oldest unclaimed item of an account is due",
            ),
            unreachable: gauge(
                "gateway_unreachable",
                "1 for each account to which there is no connection",
            ),
            notifications: gauge(
                "notifications",
                "Notifications that this process was sent, by its answer",
            ),
            unwell: gauge(
                "duty_unwell",
                "1 for each duty of this process that is not done",
            ),
        }
    }

    async fn fill(&self, engine: &Engine) -> Result<(), LedgerError> {
        let now = engine.clock.now();
        for total in engine.ledger.grand_totals().await? {
            let state = ("state", total.state.as_str().to_owned());
            let items = i64::try_from(total.items).unwrap_or(i64::MAX);
            self.items.get_or_create(&vec![state.clone()]).inc_by(items);
            if let Some((currency, minor)) = total.money() {
                let labels = vec![state, ("currency", currency.code().to_owned())];
                self.minor.get_or_create(&labels).set(minor);
            }
        }
        let ages = engine.ledger.unknown_ages(now).await?;
        for (seconds, items) in [
            (0, ages.all),
            (600, ages.ten_minutes),
            (3600, ages.hour),
            (86_400, ages.day),
        ] {
            let labels = vec![("longer_than", seconds.to_string())];
            self.unknown
                .get_or_create(&labels)
                .set(i64::try_from(items).unwrap_or(i64::MAX));
        }
        for lane in engine.ledger.lane_health().await? {
            let labels = vec![("gateway", lane.name)];
            if let Some(tokens) = lane.tokens {
                self.tokens.get_or_create(&labels).set(tokens);
            }
            let late = lane.due_since.map_or(0, |due| {
                i64::try_from(now.since(due).as_millis()).unwrap_or(i64::MAX)
            });
            self.delay.get_or_create(&labels).set(late);
        }
        for row in engine.ledger.unreachable().await? {
            self.unreachable
                .get_or_create(&vec![("gateway", row.lane)])
                .set(1);
        }
        Ok(())
    }
}
