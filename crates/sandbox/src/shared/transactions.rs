//! What the fakes have in common: payments and refunds that exist, the faults they meet, and books
//! of the money that really moved. (Deductions of WeChat Pay have books of their own, on disk; one
//! that is refunded is taken over from there.)
//!
//! Here stand the rules all share: a number belongs to one body for ever, moves money at most once,
//! and what is refunded never exceeds what was paid. How a thing is asked for and shown is each
//! fake's own business. The books are in memory and bounded; they are gone when the fake is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::Settings;
use crate::faults::{CallKind, Fault};
use crate::shared::customs::CustomsTotals;
use crate::shared::fault_flow::{Calls, FaultReply, SubmitEffect};
use payrun_domain::time::Timestamp;

/// How many payments and refunds are kept; more are refused.
const MOST: usize = 1_000_000;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionKind {
    /// Money from a payer.
    Payment,
    /// Money back.
    Refund,
    /// A payment withdrawn before it was made.
    Cancel,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionState {
    /// It was asked for, and nothing was created: a fault or a refusal came first.
    Seen,
    /// Created, and not decided.
    Open,
    /// It happened.
    Done,
    /// It did not and will not.
    Failed,
    /// Withdrawn.
    Cancelled,
}

/// A payment, a refund or a cancellation.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// The merchant's number.
    pub number: String,
    /// The gateway's number; empty until it was created.
    pub theirs: String,
    /// For refunds and cancellations: the merchant's number of the payment.
    pub of: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub minor: i64,
    /// Where it stands.
    pub state: TransactionState,
    /// How often money moved under it: never more than once.
    pub moved: u32,
    /// Of a payment: what has been given back or is about to be, in minor units.
    pub given_back: i64,
    /// When it was created.
    pub at: Timestamp,
    body: [u8; 16],
    calls: Calls,
    decide_at: Timestamp,
    queries_left: u32,
    hidden_until: Timestamp,
    may_fail: bool,
}

impl Transaction {
    /// Something open that stands in other books.
    pub(crate) fn external(asked: &TransactionRequest) -> Self {
        Self {
            state: TransactionState::Open,
            ..seen(asked, short_hash(&asked.body), Timestamp::default())
        }
    }

    /// The same, as if it stood elsewhere and were about another amount.
    pub(crate) fn pretending(self, state: TransactionState, minor: i64) -> Self {
        let theirs = if self.theirs.is_empty() {
            format!("9{}", self.number)
        } else {
            self.theirs.clone()
        };
        Self {
            state,
            minor,
            theirs,
            ..self
        }
    }

    /// Whether it stands in other books.
    pub(crate) fn is_external(&self) -> bool {
        self.at == Timestamp::default()
    }
}

/// An entry under which money moved, as the true books have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookLine {
    /// Whose books these are: the kind of gateway.
    pub gateway: &'static str,
    /// `payment`, `refund` or `cancel`.
    pub kind: &'static str,
    /// The merchant's number.
    pub number: String,
    /// For refunds and cancellations: the merchant's number of the payment.
    pub of: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub minor: i64,
    /// How often money moved under it.
    pub moved: u32,
}

impl TransactionKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Cancel => "cancel",
        }
    }
}

/// What is asked to be done.
#[derive(Debug)]
pub(crate) struct TransactionRequest {
    pub kind: TransactionKind,
    pub number: String,
    /// For refunds and cancellations: the merchant's number of the payment.
    pub of: String,
    pub currency: String,
    pub minor: i64,
    /// What makes the number's body: another one under the same number is refused.
    pub body: Vec<u8>,
    /// A payment is open until its payer pays; a refund or cancellation may be done at once.
    pub waits: bool,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct TransactionOutcome {
    pub what: TransactionResult,
    /// What bends the reply.
    pub fault: Option<Fault>,
}

/// Why a submission is not about any entry.
enum RefusedSubmission {
    OtherBody,
    Full,
}

/// What is to be said.
#[derive(Debug)]
pub(crate) enum TransactionResult {
    /// The entry as it stands (with its payment, where it is of one).
    Transaction(Transaction),
    /// The number was used with another body.
    OtherBody,
    /// The payment does not exist.
    NoPayment,
    /// The payment is not in a state that allows it.
    WrongState,
    /// More would be given back than was paid.
    TooMuch,
    /// A fault of the outcome: nothing was created, or the code does not say what was.
    Faulty(FaultReply),
    /// The books are full.
    Full,
}

/// Everything that moved, and everything that went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TransactionTotals {
    /// Payments that were paid, by currency: how many and how much, in minor units.
    pub paid: BTreeMap<String, (u64, i64)>,
    /// Refunds that were made, by currency.
    pub refunded: BTreeMap<String, (u64, i64)>,
    /// Faults that were met.
    pub faults: BTreeMap<String, u64>,
    /// Requests refused for what they are, by reason.
    pub refused: BTreeMap<String, u64>,
    /// Broken promises of the caller.
    pub violations: BTreeMap<String, u64>,
    /// What was filed with the customs.
    pub customs: CustomsTotals,
}

/// The books of one fake.
#[derive(Debug, Default)]
pub(crate) struct TransactionStore {
    entries: BTreeMap<(TransactionKind, String), Transaction>,
    by_theirs: BTreeMap<(TransactionKind, String), String>,
    faults: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    violations: BTreeMap<String, u64>,
    /// What is not decided, and what has been since somebody asked; kept only where
    /// [`Settings::notes_ends`].
    open: BTreeSet<(TransactionKind, String)>,
    ended: Vec<(TransactionKind, String)>,
}

impl TransactionStore {
    /// Notes that something has reached an end.
    pub(crate) fn note_end(&mut self, kind: TransactionKind, number: &str) {
        if self.ended.len() < MOST {
            self.ended.push((kind, number.to_owned()));
        }
    }

    /// What has reached an end since this was asked last; what is ripe is decided first.
    pub(crate) fn take_ended(
        &mut self,
        settings: &Settings,
        now: Timestamp,
    ) -> Vec<(TransactionKind, String)> {
        for (kind, number) in std::mem::take(&mut self.open) {
            let Some(mut entry) = self.entries.get(&(kind, number.clone())).cloned() else {
                continue;
            };
            self.decide(&mut entry, kind, settings, now);
            if matches!(entry.state, TransactionState::Seen | TransactionState::Open) {
                self.open.insert((kind, number.clone()));
            }
            self.entries.insert((kind, number), entry);
        }
        std::mem::take(&mut self.ended)
    }

    /// Notes a request that was refused for what it is.
    pub(crate) fn refuse(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }

    /// Notes a broken promise of the caller.
    pub(crate) fn violate(&mut self, promise: &str) {
        *self.violations.entry(promise.to_owned()).or_default() += 1;
    }

    /// The entry a submission is about, as it stands or as it begins.
    fn begin(
        &mut self,
        asked: &TransactionRequest,
        now: Timestamp,
    ) -> Result<Transaction, RefusedSubmission> {
        let body = short_hash(&asked.body);
        match self.entries.get(&(asked.kind, asked.number.clone())) {
            Some(entry) if entry.body != body => {
                self.violate("two_bodies");
                Err(RefusedSubmission::OtherBody)
            }
            Some(entry) => Ok(entry.clone()),
            None if self.entries.len() >= MOST => Err(RefusedSubmission::Full),
            None => Ok(seen(asked, body, now)),
        }
    }

    /// Remembers the body of a submission that is refused for a reason of the fake's own; whether
    /// that can be done.
    pub(crate) fn remember(&mut self, asked: &TransactionRequest, now: Timestamp) -> bool {
        let begun = self.begin(asked, now);
        begun
            .map(|entry| {
                self.entries
                    .insert((asked.kind, asked.number.clone()), entry)
            })
            .is_ok()
    }

    /// Has the effect of a submission, or not, as the plan of faults has it.
    pub(crate) fn submit(
        &mut self,
        asked: TransactionRequest,
        settings: &Settings,
        now: Timestamp,
    ) -> TransactionOutcome {
        let id = (asked.kind, asked.number.clone());
        let mut entry = match self.begin(&asked, now) {
            Ok(entry) => entry,
            Err(RefusedSubmission::OtherBody) => {
                return TransactionOutcome {
                    what: TransactionResult::OtherBody,
                    fault: None,
                };
            }
            Err(RefusedSubmission::Full) => {
                return TransactionOutcome {
                    what: TransactionResult::Full,
                    fault: None,
                };
            }
        };
        self.decide(&mut entry, asked.kind, settings, now);
        let exists = entry.state != TransactionState::Seen;
        let fault = entry.calls.submit(&settings.plan, &entry.number, exists);
        let what = if exists || fault.is_some_and(Fault::is_before) {
            TransactionResult::Transaction(entry.clone())
        } else {
            self.attempt(&asked, &mut entry, fault, settings, now)
        };
        self.count(&mut entry, fault);
        let what = if let TransactionResult::Transaction(_) = what {
            TransactionResult::Transaction(entry.clone())
        } else {
            what
        };
        self.entries.insert(id, entry);
        TransactionOutcome { what, fault }
    }

    fn attempt(
        &mut self,
        asked: &TransactionRequest,
        entry: &mut Transaction,
        fault: Option<Fault>,
        settings: &Settings,
        now: Timestamp,
    ) -> TransactionResult {
        if let Some(refused) = self.forbidden(asked, settings, now) {
            return refused;
        }
        let coin = settings.plan.coin_flip(&asked.number);
        let effect = SubmitEffect::of(fault, coin);
        if let SubmitEffect::Declined(reply) = effect {
            return TransactionResult::Faulty(reply);
        }
        let draw = |purpose| settings.plan.draw(&asked.number, purpose, 0) % 1_000_000_000_000;
        entry.theirs = format!("{:012}{:012}", draw("high"), draw("low"));
        entry.state = TransactionState::Open;
        entry.at = now;
        self.by_theirs
            .insert((asked.kind, entry.theirs.clone()), entry.number.clone());
        self.reserve(asked);
        if asked.waits || fault == Some(Fault::Pending) {
            entry.decide_at = now.plus(settings.pending);
            entry.queries_left = 1 + u32::from(coin);
            // Under the fault, what was accepted may still fail.
            entry.may_fail = fault == Some(Fault::Pending);
            if settings.notes_ends {
                self.open.insert((asked.kind, asked.number.clone()));
            }
        } else {
            self.finish(entry, asked.kind, true, settings);
        }
        if fault == Some(Fault::LateVisible) {
            entry.hidden_until = now.plus(settings.late);
        }
        if effect == SubmitEffect::HappensUnmapped {
            TransactionResult::Faulty(FaultReply::Unmapped)
        } else {
            TransactionResult::Transaction(entry.clone())
        }
    }

    /// Why a refund or a cancellation cannot be.
    fn forbidden(
        &mut self,
        asked: &TransactionRequest,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<TransactionResult> {
        if asked.kind == TransactionKind::Payment {
            return None;
        }
        let Some(mut payment) = self
            .entries
            .get(&(TransactionKind::Payment, asked.of.clone()))
            .cloned()
        else {
            return Some(TransactionResult::NoPayment);
        };
        self.decide(&mut payment, TransactionKind::Payment, settings, now);
        let refused = match (asked.kind, payment.state) {
            (TransactionKind::Refund, TransactionState::Done)
                if payment.currency != asked.currency =>
            {
                Some(TransactionResult::WrongState)
            }
            (TransactionKind::Refund, TransactionState::Done)
                if asked.minor > payment.minor - payment.given_back =>
            {
                *self
                    .violations
                    .entry("refund_above_payment".into())
                    .or_default() += 1;
                Some(TransactionResult::TooMuch)
            }
            (TransactionKind::Refund, TransactionState::Done)
            | (TransactionKind::Cancel, TransactionState::Open)
            | (TransactionKind::Payment, _) => None,
            (TransactionKind::Refund | TransactionKind::Cancel, _) => {
                Some(TransactionResult::WrongState)
            }
        };
        self.entries
            .insert((TransactionKind::Payment, asked.of.clone()), payment);
        refused
    }

    /// Sets what a refund will give back aside, so that two at once cannot exceed the payment.
    fn reserve(&mut self, asked: &TransactionRequest) {
        if asked.kind == TransactionKind::Refund
            && let Some(payment) = self
                .entries
                .get_mut(&(TransactionKind::Payment, asked.of.clone()))
        {
            payment.given_back += asked.minor;
        }
    }

    /// A look at an entry by the merchant's number: none if there is none, as far as can be seen;
    /// and what bends the reply.
    pub(crate) fn query(
        &mut self,
        kind: TransactionKind,
        number: &str,
        settings: &Settings,
        now: Timestamp,
    ) -> (Option<Transaction>, Option<Fault>) {
        let id = (kind, number.to_owned());
        // A number that was never submitted is not remembered: a probe must not fill the books.
        let Some(mut entry) = self.entries.get(&id).cloned() else {
            return (None, None);
        };
        let fault = entry
            .calls
            .next(&settings.plan, &entry.number, CallKind::Query);
        if fault.is_none_or(|fault| !fault.is_before()) {
            entry.queries_left = entry.queries_left.saturating_sub(1);
            self.decide(&mut entry, kind, settings, now);
        }
        self.count(&mut entry, fault);
        let visible = entry.state != TransactionState::Seen && entry.hidden_until <= now;
        let misread = kind == TransactionKind::Payment && entry.calls.made <= settings.misread;
        let minor = entry.minor + i64::from(misread);
        let seen = visible.then(|| Transaction {
            minor,
            ..entry.clone()
        });
        self.entries.insert(id, entry);
        (seen, fault)
    }

    /// The merchant's number of an entry, by the gateway's.
    pub(crate) fn number_of(&self, kind: TransactionKind, theirs: &str) -> Option<String> {
        self.by_theirs.get(&(kind, theirs.to_owned())).cloned()
    }

    /// An entry as it stands in the books.
    pub(crate) fn entry(&self, kind: TransactionKind, number: &str) -> Option<&Transaction> {
        self.entries.get(&(kind, number.to_owned()))
    }

    /// Everything that was asked to be done, and how it stands.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (TransactionKind, &Transaction)> {
        self.entries.iter().map(|((kind, _), entry)| (*kind, entry))
    }

    /// Puts a paid payment into the books, as if a payer had just paid it; the gateway's number of
    /// it. A number that is there already stays as it is.
    pub(crate) fn seed(
        &mut self,
        number: &str,
        currency: &str,
        minor: i64,
        now: Timestamp,
    ) -> String {
        if let Some(there) = self.entry(TransactionKind::Payment, number) {
            return there.theirs.clone();
        }
        let asked = TransactionRequest {
            kind: TransactionKind::Payment,
            number: number.to_owned(),
            of: String::new(),
            currency: currency.to_owned(),
            minor,
            body: Vec::new(),
            waits: false,
        };
        let mut entry = seen(&asked, short_hash(&[]), now);
        entry.theirs = format!(
            "20{:x}",
            u128::from_be_bytes(short_hash(number.as_bytes())) >> 40
        );
        entry.state = TransactionState::Done;
        entry.moved = 1;
        let theirs = entry.theirs.clone();
        self.put_payment(entry);
        theirs
    }

    /// Takes a paid payment over from other books, where its money is counted. One that is there
    /// already stays as it is.
    pub(crate) fn import_deduction(
        &mut self,
        asked: &TransactionRequest,
        theirs: &str,
        at: Timestamp,
    ) {
        if self
            .entry(TransactionKind::Payment, &asked.number)
            .is_none()
        {
            let entry = seen(asked, short_hash(&asked.body), at);
            self.put_payment(Transaction {
                theirs: theirs.to_owned(),
                state: TransactionState::Done,
                ..entry
            });
        }
    }

    fn put_payment(&mut self, entry: Transaction) {
        self.by_theirs.insert(
            (TransactionKind::Payment, entry.theirs.clone()),
            entry.number.clone(),
        );
        self.entries
            .insert((TransactionKind::Payment, entry.number.clone()), entry);
    }

    /// A payment as it stands now, after being looked at once more; nothing bends the look.
    pub(crate) fn force_query(
        &mut self,
        number: &str,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Transaction> {
        let mut entry = self.entry(TransactionKind::Payment, number)?.clone();
        entry.queries_left = entry.queries_left.saturating_sub(1);
        self.decide(&mut entry, TransactionKind::Payment, settings, now);
        self.entries
            .insert((TransactionKind::Payment, number.to_owned()), entry.clone());
        Some(entry)
    }

    /// The payer of an open payment cannot pay.
    pub(crate) fn fail(&mut self, number: &str) {
        if let Some(entry) = self
            .entries
            .get_mut(&(TransactionKind::Payment, number.to_owned()))
            && entry.state == TransactionState::Open
        {
            entry.state = TransactionState::Failed;
        }
    }

    /// Decides what is open, if its time or its last query has come. Under [`Fault::Pending`] one
    /// in four fails.
    fn decide(
        &mut self,
        entry: &mut Transaction,
        kind: TransactionKind,
        settings: &Settings,
        now: Timestamp,
    ) {
        if entry.state != TransactionState::Open
            || (now < entry.decide_at && entry.queries_left > 0)
        {
            return;
        }
        let fails = entry.may_fail
            && settings
                .plan
                .draw(&entry.number, "outcome", 0)
                .is_multiple_of(4);
        self.finish(entry, kind, !fails, settings);
    }

    /// The effect: money moves, or what was set aside is free again.
    fn finish(
        &mut self,
        entry: &mut Transaction,
        kind: TransactionKind,
        succeeds: bool,
        settings: &Settings,
    ) {
        if settings.notes_ends {
            self.note_end(kind, &entry.number);
        }
        // What was paid in the meantime cannot be withdrawn any more.
        let payment = self
            .entries
            .get(&(TransactionKind::Payment, entry.of.clone()));
        let too_late = kind == TransactionKind::Cancel
            && payment.is_none_or(|payment| payment.state != TransactionState::Open);
        let succeeds = succeeds && !too_late;
        entry.state = if succeeds {
            TransactionState::Done
        } else {
            TransactionState::Failed
        };
        entry.moved += u32::from(succeeds && kind != TransactionKind::Cancel);
        let Some(payment) = self
            .entries
            .get_mut(&(TransactionKind::Payment, entry.of.clone()))
        else {
            return;
        };
        match (kind, succeeds) {
            (TransactionKind::Refund, false) => payment.given_back -= entry.minor,
            (TransactionKind::Cancel, true) => payment.state = TransactionState::Cancelled,
            (TransactionKind::Payment | TransactionKind::Refund | TransactionKind::Cancel, _) => {}
        }
    }

    fn count(&mut self, entry: &mut Transaction, fault: Option<Fault>) {
        entry.calls.note(fault);
        if let Some(fault) = fault {
            self.meet(fault);
        }
    }

    /// Notes a fault that was met.
    pub(crate) fn meet(&mut self, fault: Fault) {
        *self.faults.entry(fault.as_str().to_owned()).or_default() += 1;
    }

    /// Everything under which money moved, or a payment was withdrawn.
    pub(crate) fn lines(&self, gateway: &'static str) -> Vec<BookLine> {
        let moved = self.entries.iter().filter(|(_, entry)| entry.moved > 0);
        let line = |((kind, _), entry): (&(TransactionKind, String), &Transaction)| BookLine {
            gateway,
            kind: kind.as_str(),
            number: entry.number.clone(),
            of: entry.of.clone(),
            currency: entry.currency.clone(),
            minor: entry.minor,
            moved: entry.moved,
        };
        moved.map(line).collect()
    }

    /// The books in sum.
    pub(crate) fn totals(&self) -> TransactionTotals {
        let mut totals = TransactionTotals {
            faults: self.faults.clone(),
            refused: self.refused.clone(),
            violations: self.violations.clone(),
            ..TransactionTotals::default()
        };
        for ((kind, _), entry) in &self.entries {
            let moved = match kind {
                TransactionKind::Payment => &mut totals.paid,
                TransactionKind::Refund => &mut totals.refunded,
                TransactionKind::Cancel => continue,
            };
            if entry.moved > 0 {
                let (count, sum) = moved.entry(entry.currency.clone()).or_default();
                *count += u64::from(entry.moved);
                *sum += entry.minor * i64::from(entry.moved);
            }
        }
        totals
    }
}

fn seen(asked: &TransactionRequest, body: [u8; 16], now: Timestamp) -> Transaction {
    Transaction {
        number: asked.number.clone(),
        theirs: String::new(),
        of: asked.of.clone(),
        currency: asked.currency.clone(),
        minor: asked.minor,
        state: TransactionState::Seen,
        moved: 0,
        given_back: 0,
        at: now,
        body,
        calls: Calls::default(),
        decide_at: now,
        queries_left: 0,
        hidden_until: Timestamp::default(),
        may_fail: false,
    }
}

fn short_hash(bytes: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&Sha256::digest(bytes)[..16]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::{FaultPlan, Level};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn refund(number: &str, minor: i64) -> TransactionRequest {
        TransactionRequest {
            kind: TransactionKind::Refund,
            number: number.into(),
            of: "P".into(),
            currency: "HKD".into(),
            minor,
            body: minor.to_be_bytes().to_vec(),
            waits: false,
        }
    }

    #[test]
    fn whatever_goes_wrong_no_more_is_given_back_than_was_paid_and_nothing_twice() {
        for seed in 0..50 {
            let settings = Settings {
                plan: FaultPlan::new(seed, Level::Heavy),
                ..Settings::default()
            };
            let mut transactions = TransactionStore::default();
            transactions.seed("P", "HKD", 1_000, NOW);
            for round in 0..8 {
                for n in 0..10 {
                    transactions.submit(refund(&format!("R-{n}"), 150), &settings, NOW);
                    let later = NOW.plus(std::time::Duration::from_secs(round));
                    transactions.query(
                        TransactionKind::Refund,
                        &format!("R-{n}"),
                        &settings,
                        later,
                    );
                }
            }
            let totals = transactions.totals();
            let (count, sum) = totals.refunded["HKD"];
            assert!(
                sum <= 1_000 && count * 150 == u64::try_from(sum).unwrap(),
                "{seed}: {totals:?}"
            );
            let moved_twice = transactions.entries.values().any(|entry| entry.moved > 1);
            assert!(
                !moved_twice
                    && transactions
                        .entry(TransactionKind::Payment, "P")
                        .unwrap()
                        .given_back
                        <= 1_000,
                "{seed}"
            );
        }
    }

    #[test]
    fn a_payment_that_is_put_into_the_books_twice_is_there_once() {
        let mut transactions = TransactionStore::default();
        let first = transactions.seed("P", "HKD", 1_000, NOW);
        transactions.submit(refund("R", 400), &Settings::default(), NOW);
        assert_eq!(transactions.seed("P", "HKD", 5_000, NOW), first);
        assert_eq!(
            (
                transactions.totals().paid["HKD"],
                transactions
                    .entry(TransactionKind::Payment, "P")
                    .unwrap()
                    .given_back
            ),
            ((1, 1_000), 400)
        );
    }
}
