//! Contracts as rows, with the price of today and the one that follows it.

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::table::TableColumnKind::{Count, Date, Id, Money, Text};
use super::table::{TableCell, TableColumn, TableColumnKind, TableHead};
use super::{ExportContext, page_of, zone_of};
use crate::config::{Config, GatewayConfig};
use crate::domain::money::Amount;
use crate::engine::contracts::day_of;
use crate::ledger::{ContractFilter, ContractRow, LedgerError};

/// Contracts that are read page by page.
pub(super) struct ContractPages {
    filter: ContractFilter,
    after: i64,
    left: u64,
    zone: Tz,
    today: NaiveDate,
}

impl ContractPages {
    pub fn begin(context: &ExportContext, filter: ContractFilter, after: i64, left: u64) -> Self {
        let zone = zone_of(context);
        Self {
            filter,
            after,
            left,
            zone,
            today: day_of(context.now, zone),
        }
    }

    pub fn head(&self) -> TableHead {
        let columns: [(&str, TableColumnKind); 17] = [
            ("contract_id", Id),
            ("gateway", Text),
            ("state", Text),
            ("reason", Text),
            ("amount", Money),
            ("currency", Text),
            ("next_amount", Money),
            ("next_amount_from", Date),
            ("every", Text),
            ("anchor_day", Text),
            ("start", Date),
            ("end", Date),
            ("pay_within", Count),
            ("next_due", Date),
            ("description", Text),
            ("account", Id),
            ("number", Count),
        ];
        TableHead {
            title: "contracts",
            columns: columns
                .into_iter()
                .map(|(name, kind)| TableColumn::new(name, kind))
                .collect(),
            zone: self.zone,
        }
    }

    pub async fn next(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<Vec<Vec<TableCell>>>, LedgerError> {
        let wanted = page_of(self.left);
        if wanted == 0 {
            return Ok(None);
        }
        let page = context
            .ledger
            .contracts(&self.filter, self.after, wanted)
            .await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = last.id;
        self.left = self.left.saturating_sub(page.len() as u64);
        let row = |contract| cells(&context.config, contract, self.today);
        Ok(Some(page.iter().map(row).collect()))
    }
}

fn cells(config: &Config, row: &ContractRow, today: NaiveDate) -> Vec<TableCell> {
    let (ours, terms) = (&row.subscription, &row.subscription.terms);
    let next: Option<(NaiveDate, Amount)> = ours.prices.steps().find(|(from, _)| *from > today);
    // Before the first price holds there is no other yet.
    let now = ours.prices.on(today);
    let next = next.filter(|(_, amount)| *amount != now);
    let mut gateways = config.gateways.values();
    let gateway = gateways.find(|gateway| GatewayConfig::identity(gateway) == row.account);
    vec![
        TableCell::text(row.contract.as_str()),
        TableCell::text(gateway.map_or(row.account.as_str(), |gateway| gateway.name.as_str())),
        TableCell::text(ours.standing.as_str()),
        TableCell::text(ours.standing.reason().unwrap_or_default()),
        TableCell::amount(Some(now)),
        TableCell::text(ours.prices.currency().code()),
        TableCell::amount(next.map(|(_, amount)| amount)),
        TableCell::date(next.map(|(from, _)| from)),
        TableCell::text(terms.every().as_str()),
        TableCell::text(terms.anchor().text(terms.every())),
        TableCell::Date(terms.start()),
        TableCell::date(terms.end()),
        TableCell::Count(i64::from(terms.pay_within())),
        TableCell::date(row.next_due),
        TableCell::text(ours.description.as_str()),
        TableCell::text(row.account.as_str()),
        TableCell::Count(row.id),
    ]
}
