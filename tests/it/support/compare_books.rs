//! Our books held against the gateway's, and the promises that no answer may break.

use std::collections::{BTreeMap, HashMap};

use payrun::domain::item::State;
use payrun::ledger::{ItemFilter, ItemRow, Ledger};
use payrun::sandbox::{FakeWechat, OrderLine};

const PAGE: u32 = 1000;

/// What must be true when everything has ended.
pub async fn assert_match(ledger: &Ledger, sandbox: &FakeWechat, refusals: bool) {
    let books = Books::read(ledger, sandbox).await;
    books.assert_nothing_wrong_yet();
    for item in books.items.iter().filter(|item| item.kind == "deduct") {
        let charged = books.charged(item).is_some();
        assert_eq!(
            charged,
            item.row.state == State::Succeeded,
            "we say {}, the gateway says {charged}: {item:#?}",
            item.row.state
        );
        assert_ne!(item.row.state, State::Sending, "{item:#?}");
    }
    if !refusals {
        assert_eq!(
            sandbox.totals().await.unwrap().refused,
            BTreeMap::new(),
            "requests the gateway took offence at"
        );
    }
}

/// What must be true at every moment.
pub async fn assert_nothing_wrong_yet(ledger: &Ledger, sandbox: &FakeWechat) {
    Books::read(ledger, sandbox)
        .await
        .assert_nothing_wrong_yet();
}

/// Both sides' books. Nodes may be at work meanwhile, so the gateway's are read before ours and
/// after: what it had done before must be known to us, and what we know it to have done must stand
/// in its later ones.
struct Books {
    before: HashMap<String, OrderLine>,
    items: Vec<Item>,
    orders: HashMap<String, OrderLine>,
    violations: BTreeMap<String, u64>,
    mistakes: Vec<String>,
}

#[derive(Debug)]
struct Item {
    row: ItemRow,
    kind: String,
}

impl Books {
    async fn read(ledger: &Ledger, sandbox: &FakeWechat) -> Self {
        Self {
            before: orders(sandbox).await,
            items: items(ledger).await,
            orders: orders(sandbox).await,
            violations: sandbox.totals().await.unwrap().violations,
            mistakes: ledger.check().await.unwrap(),
        }
    }

    fn assert_nothing_wrong_yet(&self) {
        // The totals equal a recount, so planned = succeeded + failed + cancelled + skipped + open.
        assert_eq!(self.mistakes, Vec::<String>::new(), "the ledger is damaged");
        assert_eq!(
            self.violations,
            BTreeMap::new(),
            "promises to the gateway were broken"
        );
        let ours: HashMap<&str, &Item> = self
            .items
            .iter()
            .filter_map(|item| Some((item.row.order_no.as_deref()?, item)))
            .collect();
        for order in self.before.values().filter(|order| order.charged > 0) {
            assert_eq!(order.charged, 1, "charged twice: {order:?}");
            let item = ours
                .get(order.number.as_str())
                .unwrap_or_else(|| panic!("nobody of ours knows {order:?}"));
            let known = item.row.state.is_in_flight() || item.row.state == State::Succeeded;
            assert!(known, "money moved that we believe has not: {item:#?}");
        }
        for item in self
            .items
            .iter()
            .filter(|item| item.row.state == State::Succeeded && item.kind == "deduct")
        {
            let order = self
                .charged(item)
                .unwrap_or_else(|| panic!("we say succeeded, nobody was charged: {item:#?}"));
            let amount = item.row.amount.unwrap();
            assert_eq!(
                (order.minor, order.currency.as_str()),
                (amount.minor(), amount.currency().code()),
                "{item:#?}"
            );
            assert_eq!(
                item.row.receipt.as_deref(),
                Some(order.transaction_id.as_str()),
                "{item:#?}"
            );
        }
    }

    fn charged(&self, item: &Item) -> Option<&OrderLine> {
        self.orders
            .get(item.row.order_no.as_deref()?)
            .filter(|order| order.charged > 0)
    }
}

async fn items(ledger: &Ledger) -> Vec<Item> {
    let mut kinds = HashMap::new();
    let mut before = None;
    loop {
        let page = ledger.runs(before, PAGE).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        for run in page {
            kinds.extend(
                ledger
                    .jobs(run.id)
                    .await
                    .unwrap()
                    .into_iter()
                    .map(|job| (job.id, job.kind)),
            );
        }
    }
    let mut items: Vec<Item> = Vec::new();
    loop {
        let after = items.last().map_or(0, |item| item.row.id);
        let page = ledger
            .items(&ItemFilter::default(), after, PAGE)
            .await
            .unwrap();
        if page.is_empty() {
            return items;
        }
        items.extend(page.into_iter().map(|row| Item {
            kind: kinds[&row.job_id].clone(),
            row,
        }));
    }
}

async fn orders(sandbox: &FakeWechat) -> HashMap<String, OrderLine> {
    let mut orders = HashMap::new();
    let mut after = String::new();
    loop {
        let page = sandbox.page(&after, PAGE).await.unwrap();
        orders.extend(
            page.orders
                .into_iter()
                .map(|line| (line.number.clone(), line)),
        );
        match page.next {
            Some(next) => after = next,
            None => return orders,
        }
    }
}
