//! Our books held against a sandbox's, order by order.

use std::collections::{BTreeMap, HashMap};

use super::exit::Failure;
use crate::domain::ids::{KeyHash, OrderNumber};
use crate::domain::item::State;
use crate::ledger::{ItemFilter, JobRow, Ledger};
use crate::sandbox::FakeWechat;

/// How many orders or items are read at a time.
const PAGE: u32 = 1000;

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Charges beyond the first, by key.
    pub double_charges: u64,
    /// Charged there, not succeeded here.
    pub only_theirs: u64,
    /// Succeeded here, not charged there.
    pub only_ours: u64,
    /// Succeeded and charged, of another amount.
    pub other_amount: u64,
    ours: BTreeMap<String, i128>,
    theirs: BTreeMap<String, i128>,
}

impl Comparison {
    /// Whether every order and every sum agrees.
    pub fn match_up(&self) -> bool {
        self.only_theirs == 0
            && self.only_ours == 0
            && self.other_amount == 0
            && self.ours == self.theirs
    }
}

/// What the gateway has charged for a key.
#[derive(Debug, Default)]
struct ChargedTotal {
    times: u32,
    minor: i64,
    currency: String,
}

/// Compares a job's deductions with the sandbox's orders.
pub(super) async fn compare(
    ledger: &Ledger,
    sandbox: &FakeWechat,
    job: &JobRow,
) -> Result<Comparison, Failure> {
    let mut comparison = Comparison::default();
    let mut charged = charges(sandbox, &mut comparison).await?;
    let (run_id, name) = (Some(job.run_id), Some(job.name.clone()));
    let filter = ItemFilter {
        run_id,
        job: name,
        states: vec![State::Succeeded],
        ..ItemFilter::default()
    };
    let mut after = 0;
    loop {
        let items = ledger.items(&filter, after, PAGE).await?;
        let Some(last) = items.last() else { break };
        after = last.id;
        for item in &items {
            let key = item.order_no.as_deref().and_then(key_of);
            let (Some(amount), Some(key)) = (item.amount, key) else {
                comparison.only_ours += 1;
                continue;
            };
            *comparison
                .ours
                .entry(amount.currency().code().to_owned())
                .or_default() += i128::from(amount.minor());
            match charged.remove(&key) {
                None => comparison.only_ours += 1,
                Some(there)
                    if there.minor != amount.minor()
                        || there.currency != amount.currency().code() =>
                {
                    comparison.other_amount += 1;
                }
                Some(_) => {}
            }
        }
    }
    comparison.only_theirs += charged.len() as u64;
    Ok(comparison)
}

fn key_of(number: &str) -> Option<KeyHash> {
    OrderNumber::parse(number)
        .ok()
        .and_then(|number| number.key_hash())
}

async fn charges(
    sandbox: &FakeWechat,
    comparison: &mut Comparison,
) -> Result<HashMap<KeyHash, ChargedTotal>, Failure> {
    let mut charged: HashMap<KeyHash, ChargedTotal> = HashMap::new();
    let mut after = String::new();
    loop {
        let page = sandbox
            .page(&after, PAGE)
            .await
            .map_err(|error| Failure::internal(&error))?;
        for line in page.orders.iter().filter(|line| line.charged > 0) {
            *comparison.theirs.entry(line.currency.clone()).or_default() +=
                i128::from(line.minor) * i128::from(line.charged);
            match key_of(&line.number) {
                None => comparison.only_theirs += 1,
                Some(key) => {
                    let entry = charged.entry(key).or_default();
                    entry.times += line.charged;
                    entry.minor = line.minor;
                    entry.currency.clone_from(&line.currency);
                }
            }
        }
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    comparison.double_charges = charged
        .values()
        .map(|one| u64::from(one.times.saturating_sub(1)))
        .sum();
    Ok(charged)
}
