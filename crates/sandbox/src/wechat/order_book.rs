//! The gateway's truth: which orders there are, and what really moved. Charges are only ever added.
//!
//! Flat in memory however many orders there are: two generations of recently used orders, a Bloom
//! filter of those that are on disk only (so that a new order costs no look at the disk), and the
//! file. An order leaves memory only after it was written.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::shared::customs::CustomsTotals;
use crate::shared::fault_flow::Calls;
use crate::wechat::order_store::{OrderStore, StoreError};
use crate::wechat::settlements::DaySum;
use payrun_domain::time::Timestamp;

/// How many orders a generation holds.
const GENERATION: usize = 2_048;
/// Bits of the filter: 2 MiB, which at 1,000,000 orders is wrong about 1 in 250 new ones (and costs
/// those one look).
const FILTER_BITS: u64 = 1 << 24;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// It was asked for, and nothing was created: a fault or a refusal came first.
    Seen,
    /// Being decided.
    Processing,
    /// Created and not paid; may be tried again under the same number.
    NotPay,
    /// Paid.
    Success,
    /// The bank refused; final.
    PayError,
    /// Withdrawn before it was paid; final.
    Closed,
}

impl OrderState {
    const ALL: [Self; 6] = [
        Self::Seen,
        Self::Processing,
        Self::NotPay,
        Self::Success,
        Self::PayError,
        Self::Closed,
    ];

    /// The word in the books.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Processing => "processing",
            Self::NotPay => "not_pay",
            Self::Success => "success",
            Self::PayError => "pay_error",
            Self::Closed => "closed",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeductionOrder {
    /// `out_trade_no`.
    pub number: String,
    /// The contract it is charged against.
    pub contract: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub minor: i64,
    /// Of the body it first came with.
    pub body: [u8; 16],
    /// The merchant's own text.
    pub attach: Option<String>,
    /// `merchant_category_code`.
    pub category: String,
    /// Where it stands.
    pub state: OrderState,
    /// The gateway's number; empty until it was charged.
    pub transaction_id: String,
    /// How often it was charged.
    pub charged: u32,
    /// The calls about it.
    pub calls: Calls,
    /// When it was charged.
    pub effect_at: Timestamp,
    /// When it is decided, while it is [`OrderState::Processing`].
    pub decide_at: Timestamp,
    /// After how many more queries it is decided, if that comes sooner.
    pub queries_left: u32,
    /// Until when queries do not find it.
    pub hidden_until: Timestamp,
    pub(crate) dirty: bool,
}

/// Money that moved.
#[derive(Debug, Clone)]
pub(crate) struct BookedCharge {
    pub transaction_id: String,
    pub number: String,
    pub currency: String,
    pub minor: i64,
    pub at: Timestamp,
}

/// What is counted beside orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// A fault that was met.
    Fault,
    /// A request refused for what it is, by reason.
    Refused,
    /// A broken promise of the caller.
    Violation,
}

impl Counter {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Fault => "fault",
            Self::Refused => "refused",
            Self::Violation => "violation",
        }
    }
}

/// The books.
#[derive(Debug)]
pub(crate) struct OrderBook {
    store: OrderStore,
    young: HashMap<String, DeductionOrder>,
    old: HashMap<String, DeductionOrder>,
    charges: Vec<BookedCharge>,
    filter: Filter,
    /// The order that is being decided, by contract: in an order of their own, so that a play goes
    /// the same way again.
    pub processing: BTreeMap<String, String>,
    counters: BTreeMap<(&'static str, String), u64>,
}

impl OrderBook {
    /// Opens the books at a path, or temporary ones.
    pub(crate) async fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        let mut store = OrderStore::open(path).await?;
        let processing = store.processing().await?.into_iter().collect();
        let mut counters = BTreeMap::new();
        for (kind, name, count) in store.counters().await? {
            for counter in [Counter::Fault, Counter::Refused, Counter::Violation] {
                if counter.as_str() == kind {
                    counters.insert(
                        (counter.as_str(), name.clone()),
                        u64::try_from(count).unwrap_or(0),
                    );
                }
            }
        }
        let mut filter = Filter::default();
        let mut after = String::new();
        loop {
            let page = store.page(&after, 1_000).await?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.number);
            page.iter().for_each(|order| filter.add(&order.number));
        }
        let (young, old) = (HashMap::new(), HashMap::new());
        Ok(Self {
            store,
            young,
            old,
            charges: Vec::new(),
            filter,
            processing,
            counters,
        })
    }

    /// Looks an order up; a copy, to be given back with [`OrderBook::put`].
    pub(crate) async fn get(&mut self, number: &str) -> Result<Option<DeductionOrder>, StoreError> {
        if let Some(order) = self.young.get(number).or_else(|| self.old.get(number)) {
            return Ok(Some(order.clone()));
        }
        if self.filter.may_have(number) {
            self.store.order(number).await
        } else {
            Ok(None)
        }
    }

    /// The order with a transaction id.
    pub(crate) async fn get_by_transaction(
        &mut self,
        id: &str,
    ) -> Result<Option<DeductionOrder>, StoreError> {
        let pending = self
            .charges
            .iter()
            .find(|charge| charge.transaction_id == id)
            .map(|charge| charge.number.clone());
        let number = match pending {
            Some(number) => Some(number),
            None => self.store.number_of(id).await?,
        };
        match number {
            Some(number) => self.get(&number).await,
            None => Ok(None),
        }
    }

    /// Puts an order down as it is now.
    pub(crate) async fn put(&mut self, mut order: DeductionOrder) -> Result<(), StoreError> {
        order.dirty = true;
        if order.state == OrderState::Processing {
            self.processing
                .insert(order.contract.clone(), order.number.clone());
        } else if self.processing.get(&order.contract) == Some(&order.number) {
            self.processing.remove(&order.contract);
        }
        self.old.remove(&order.number);
        self.young.insert(order.number.clone(), order);
        if self.young.len() < GENERATION {
            return Ok(());
        }
        self.write(false).await?;
        self.old.keys().for_each(|number| self.filter.add(number));
        self.old = std::mem::take(&mut self.young);
        Ok(())
    }

    /// Adds a charge.
    pub(crate) fn charge(&mut self, order: &DeductionOrder) {
        self.charges.push(BookedCharge {
            transaction_id: order.transaction_id.clone(),
            number: order.number.clone(),
            currency: order.currency.clone(),
            minor: order.minor,
            at: order.effect_at,
        });
    }

    /// Counts something.
    pub(crate) fn count(&mut self, counter: Counter, name: &str) {
        match self.counters.get_mut(&(counter.as_str(), name.to_owned())) {
            Some(count) => *count += 1,
            None => {
                self.counters.insert((counter.as_str(), name.to_owned()), 1);
            }
        }
    }

    /// Writes what is not on disk yet.
    pub(crate) async fn flush(&mut self) -> Result<(), StoreError> {
        self.write(true).await
    }

    /// Everything, summed up.
    pub(crate) async fn totals(&mut self) -> Result<Totals, StoreError> {
        self.flush().await?;
        let mut violations = self.counted(Counter::Violation);
        let twice = self.store.charged_twice().await?;
        if twice > 0 {
            violations.insert("charged_twice".into(), twice);
        }
        let charged = self.store.charged().await?.into_iter();
        Ok(Totals {
            charged: charged
                .map(|(currency, count, minor)| (currency, ChargedSum { count, minor }))
                .collect(),
            paid: BTreeMap::new(),
            refunded: BTreeMap::new(),
            by_state: self.store.states().await?.into_iter().collect(),
            violations,
            faults: self.counted(Counter::Fault),
            refused: self.counted(Counter::Refused),
            customs: CustomsTotals::default(),
        })
    }

    /// A page of the orders that exist, in the order of their numbers. It may be shorter than
    /// `limit` before the end; the end is where `next` is none.
    pub(crate) async fn page(&mut self, after: &str, limit: u32) -> Result<OrderPage, StoreError> {
        self.flush().await?;
        let limit = limit.clamp(1, 1_000);
        let orders = self.store.page(after, limit).await?;
        let next = (orders.len() == limit as usize)
            .then(|| orders.last().map(|order| order.number.clone()))
            .flatten();
        let existing = orders
            .into_iter()
            .filter(|order| order.state != OrderState::Seen);
        Ok(OrderPage {
            orders: existing.map(OrderLine::of).collect(),
            next,
        })
    }

    /// A page of the charges from one instant to before another, in the order of their transaction
    /// ids, after one.
    pub(crate) async fn charges(
        &mut self,
        within: (Timestamp, Timestamp),
        after: &str,
        limit: u32,
    ) -> Result<Vec<BookedCharge>, StoreError> {
        self.flush().await?;
        self.store.charges(within, after, limit).await
    }

    /// What was charged, by day and currency.
    pub(crate) async fn day_sums(&mut self) -> Result<Vec<DaySum>, StoreError> {
        self.flush().await?;
        self.store.day_sums().await
    }

    fn counted(&self, counter: Counter) -> BTreeMap<String, u64> {
        let of_kind = self
            .counters
            .iter()
            .filter(|((kind, _), _)| *kind == counter.as_str());
        of_kind
            .map(|((_, name), count)| (name.clone(), *count))
            .collect()
    }

    /// Writes the old generation, or both, with all charges and counters.
    async fn write(&mut self, young_too: bool) -> Result<(), StoreError> {
        let young = self.young.values().filter(|_| young_too);
        let orders: Vec<&DeductionOrder> = self
            .old
            .values()
            .chain(young)
            .filter(|order| order.dirty)
            .collect();
        let counters: Vec<_> = self
            .counters
            .iter()
            .map(|((kind, name), count)| (*kind, name.clone(), *count))
            .collect();
        self.store.write(&orders, &self.charges, &counters).await?;
        self.charges.clear();
        self.old.values_mut().for_each(|order| order.dirty = false);
        if young_too {
            self.young
                .values_mut()
                .for_each(|order| order.dirty = false);
        }
        Ok(())
    }
}

/// A fixed set of bits that knows what it has never been given.
#[derive(Debug)]
struct Filter(Vec<u64>);

impl Default for Filter {
    fn default() -> Self {
        Self(vec![0; usize::try_from(FILTER_BITS / 64).unwrap_or(0)])
    }
}

impl Filter {
    fn add(&mut self, text: &str) {
        for bit in bits(text) {
            self.0[bit / 64] |= 1 << (bit % 64);
        }
    }

    fn may_have(&self, text: &str) -> bool {
        bits(text)
            .into_iter()
            .all(|bit| self.0[bit / 64] & (1 << (bit % 64)) != 0)
    }
}

fn bits(text: &str) -> [usize; 4] {
    let hash = short_hash(text.as_bytes());
    let bit = |at: usize| {
        let word = u32::from_be_bytes([hash[at], hash[at + 1], hash[at + 2], hash[at + 3]]);
        usize::try_from(u64::from(word) % FILTER_BITS).unwrap_or(0)
    };
    [bit(0), bit(4), bit(8), bit(12)]
}

/// The first half of a SHA-256.
pub(crate) fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

/// Everything, summed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Totals {
    /// What deductions moved, by currency.
    pub charged: BTreeMap<String, ChargedSum>,
    /// What other payments moved, by currency.
    #[serde(default)]
    pub paid: BTreeMap<String, ChargedSum>,
    /// What was given back, by currency: refunds, and reversals of what was paid.
    #[serde(default)]
    pub refunded: BTreeMap<String, ChargedSum>,
    /// How many orders are in each state.
    pub by_state: BTreeMap<String, u64>,
    /// Broken promises of the caller: `charged_twice`, `two_bodies`, `overlapping_contract`,
    /// `refund_above_payment`, `refunds_too_close`. Empty if all is well.
    pub violations: BTreeMap<String, u64>,
    /// How many faults of each kind were met.
    pub faults: BTreeMap<String, u64>,
    /// How many requests were refused for what they were, by reason.
    pub refused: BTreeMap<String, u64>,
    /// What was filed with the customs; in memory only.
    #[serde(default)]
    pub customs: CustomsTotals,
}

/// What moved in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct ChargedSum {
    /// How many charges.
    pub count: u64,
    /// Their sum in minor units.
    pub minor: i128,
}

/// A page of the books.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct OrderPage {
    /// The orders.
    pub orders: Vec<OrderLine>,
    /// After which number the next page begins; none at the end.
    pub next: Option<String>,
}

/// One order in a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct OrderLine {
    /// The order number.
    pub number: String,
    /// Its state's word.
    pub state: String,
    /// In minor units.
    pub minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// The gateway's number; empty if it was never charged.
    pub transaction_id: String,
    /// How often it was charged.
    pub charged: u32,
}

impl OrderLine {
    fn of(order: DeductionOrder) -> Self {
        Self {
            number: order.number,
            state: order.state.as_str().to_owned(),
            minor: order.minor,
            currency: order.currency,
            transaction_id: order.transaction_id,
            charged: order.charged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(n: usize) -> DeductionOrder {
        DeductionOrder {
            number: format!("o{n:06}"),
            contract: format!("c{n}"),
            currency: "HKD".into(),
            minor: i64::MAX,
            body: [7; 16],
            attach: None,
            category: "1011".into(),
            state: OrderState::Success,
            transaction_id: format!("42{n}"),
            charged: 1,
            calls: Calls { made: 1, met: 0 },
            effect_at: Timestamp::from_millis(5),
            decide_at: Timestamp::default(),
            queries_left: 0,
            hidden_until: Timestamp::default(),
            dirty: false,
        }
    }

    #[tokio::test]
    async fn orders_beyond_the_cache_are_found_summed_and_paged() {
        let mut books = OrderBook::open(None).await.unwrap();
        for n in 0..10_000 {
            books.charge(&order(n));
            books.put(order(n)).await.unwrap();
        }
        assert!(books.young.len() + books.old.len() <= 2 * GENERATION);
        assert_eq!(
            books.get("o000001").await.unwrap().unwrap().transaction_id,
            "421"
        );
        assert_eq!(
            books
                .get_by_transaction("429999")
                .await
                .unwrap()
                .unwrap()
                .number,
            "o009999"
        );
        assert!(books.get("o010000").await.unwrap().is_none());
        let totals = books.totals().await.unwrap();
        assert_eq!(
            totals.charged["HKD"],
            ChargedSum {
                count: 10_000,
                minor: i128::from(i64::MAX) * 10_000
            }
        );
        assert_eq!(totals.by_state["success"], 10_000);
        let (mut after, mut seen) = (String::new(), 0);
        loop {
            let page = books.page(&after, 1_000).await.unwrap();
            seen += page.orders.len();
            let Some(next) = page.next else { break };
            after = next;
        }
        assert_eq!(seen, 10_000);
    }

    #[tokio::test]
    async fn charges_come_in_pages_within_a_time_and_summed_up_by_day() {
        let mut books = OrderBook::open(None).await.unwrap();
        let day = |n: usize| Timestamp::from_millis(if n < 1_500 { 5 } else { 16 * 3_600_000 });
        for n in 0..2_000 {
            books.charge(&DeductionOrder {
                effect_at: day(n),
                minor: 2,
                ..order(n)
            });
        }
        let (mut after, mut seen) = (String::new(), 0);
        while let Some(last) = {
            let page = books
                .charges((Timestamp::from_millis(5), day(2_000)), &after, 400)
                .await
                .unwrap();
            seen += page.len();
            page.last().map(|last| last.transaction_id.clone())
        } {
            after = last;
        }
        assert_eq!(seen, 1_500);
        // 16:00 UTC is midnight in Beijing.
        let sums: Vec<_> = books
            .day_sums()
            .await
            .unwrap()
            .iter()
            .map(|sum| (sum.day, sum.pay))
            .collect();
        assert_eq!(sums, [(0, 3_000), (1, 1_000)]);
    }

    #[tokio::test]
    async fn books_with_a_path_survive_being_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books.sqlite");
        let mut books = OrderBook::open(Some(&path)).await.unwrap();
        let mut pending = order(1);
        pending.state = OrderState::Processing;
        books.put(pending.clone()).await.unwrap();
        books.count(Counter::Fault, "slow");
        books.flush().await.unwrap();
        drop(books);
        let mut books = OrderBook::open(Some(&path)).await.unwrap();
        assert_eq!(books.get("o000001").await.unwrap(), Some(pending));
        assert_eq!(books.processing["c1"], "o000001");
        assert_eq!(books.totals().await.unwrap().faults["slow"], 1);
    }
}
