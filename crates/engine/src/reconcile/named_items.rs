//! The items that lines of statements name, and so whose the lines are: ours, or another system's.

use std::collections::{HashMap, HashSet};

use payrun_domain::ids::KeyHash;
use payrun_ledger::{BookedItem, Ledger, LedgerError, LineKind, StatementLine};
use payrun_project::config::StatementOwnership;
use payrun_project::job_kinds::{JobKinds, StatementRole};

/// Where the items of an account are looked for.
pub(super) struct AccountItems<'a> {
    pub ledger: &'a Ledger,
    pub lane: &'a str,
    /// What payments of this account are remembered under.
    pub payments_of: KeyHash,
    /// The kinds whose items stand in statements as payments.
    pub payments: Vec<&'a str>,
    /// And as refunds.
    pub refunds: Vec<&'a str>,
}

impl<'a> AccountItems<'a> {
    /// Those of the account of this name; `identity`: as the gateway tells accounts apart.
    pub fn of(
        ledger: &'a Ledger,
        job_kinds: &'a JobKinds,
        (lane, identity): (&'a str, &str),
    ) -> Self {
        let kinds = |role| {
            let kinds = job_kinds.by_name.values();
            let kinds = kinds.filter(|kind| kind.in_statement == Some(role));
            kinds.map(|kind| kind.name.as_str()).collect()
        };
        Self {
            ledger,
            lane,
            payments_of: KeyHash::of(identity, "payment", ""),
            payments: kinds(StatementRole::Payment),
            refunds: kinds(StatementRole::Refund),
        }
    }
}

/// The items that the lines of a page name.
pub(super) struct NamedItems {
    payments: HashMap<String, BookedItem>,
    refunds: HashMap<String, BookedItem>,
    /// By the gateway's number of the refund, where the line has no other.
    receipts: HashMap<String, BookedItem>,
}

impl NamedItems {
    pub async fn of(
        account: &AccountItems<'_>,
        page: &[StatementLine],
    ) -> Result<Self, LedgerError> {
        let orders = numbers(page, &[LineKind::Payment, LineKind::Reversal], |line| {
            &line.order_no
        });
        let refunds = numbers(page, &[LineKind::Refund], |line| &line.refund_no);
        let AccountItems { ledger, lane, .. } = account;
        let receipts = ledger
            .refunds_with_receipt(lane, &account.refunds, account.payments_of, &nameless(page))
            .await?;
        Ok(Self {
            payments: by_number(
                ledger
                    .items_by_order_no(lane, &account.payments, &orders)
                    .await?,
            ),
            refunds: by_number(
                ledger
                    .items_by_order_no(lane, &account.refunds, &refunds)
                    .await?,
            ),
            receipts: receipts
                .into_iter()
                .filter_map(|item| Some((item.receipt.clone()?, item)))
                .collect(),
        })
    }

    pub fn item(&self, line: &StatementLine) -> Option<&BookedItem> {
        match line.kind {
            LineKind::Payment | LineKind::Reversal => self.payments.get(&line.order_no),
            LineKind::Refund if line.refund_no.is_empty() => self.receipts.get(&line.refund_id),
            LineKind::Refund => self.refunds.get(&line.refund_no),
            LineKind::Other => None,
        }
    }

    /// Whether there is no item for a line, and another system must explain it.
    pub fn is_others(&self, line: &StatementLine, ownership: &StatementOwnership) -> bool {
        let is_ours = line.kind == LineKind::Other
            || self.item(line).is_some()
            || ownership.is_ours([&line.order_no, &line.refund_no]);
        !is_ours
    }
}

/// The numbers of lines of these kinds, each once.
pub(super) fn numbers<'a>(
    page: &'a [StatementLine],
    kinds: &[LineKind],
    number: fn(&StatementLine) -> &str,
) -> Vec<&'a str> {
    let lines = page.iter().filter(|line| kinds.contains(&line.kind));
    lines
        .map(number)
        .filter(|number| !number.is_empty())
        .collect::<HashSet<_>>()
        .into_iter()
        .collect()
}

/// The refunds that only the gateway has numbered: its numbers of the payment and of the refund.
pub(super) fn nameless(page: &[StatementLine]) -> Vec<(&str, &str)> {
    let lines = page
        .iter()
        .filter(|line| line.kind == LineKind::Refund && line.refund_no.is_empty());
    lines
        .map(|line| (&*line.transaction_id, &*line.refund_id))
        .collect()
}

fn by_number(items: Vec<BookedItem>) -> HashMap<String, BookedItem> {
    let numbers = |item: BookedItem| {
        item.numbers()
            .map(|number| (number.as_str().to_owned(), item.clone()))
            .collect::<Vec<_>>()
    };
    items.into_iter().flat_map(numbers).collect()
}
