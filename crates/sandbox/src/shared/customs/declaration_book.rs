//! The book of declarations, and its rules (docs/gateways/wechat.md, "Customs").
//!
//! The invariant: one payment, sub-order and customs is filed once by being declared, however often
//! that is asked for; filing again has its own ways and its own counts. No more is declared of a
//! payment to a customs than was paid, as a whole and by sub-orders together; no page says what a
//! gateway answers then \[C\]. Declarations are in memory and bounded; they are gone when the fake
//! is.

use std::collections::{BTreeMap, BTreeSet};

use super::{CustomsTotals, Declaration, DeclarationState, DeclaredTerms, Key, PaidPayment};
use crate::Settings;
use crate::faults::{CallKind, Fault};
use crate::shared::fault_flow::{Calls, FaultReply, SubmitEffect};
use payrun_domain::time::Timestamp;

/// How many declarations are kept; more are refused.
const MOST: usize = 1_000_000;
/// How many sub-orders a payment may have.
const SUB_ORDERS_MAX: usize = 50;

/// The declarations of one fake.
#[derive(Debug, Default)]
pub(crate) struct DeclarationBook {
    declarations: BTreeMap<Key, Declaration>,
    /// A sub-order's number is one payment's.
    by_sub_order: BTreeMap<(String, String), Key>,
    /// By the gateway's numbers: of a payment the merchant's, of a declaration its key.
    by_payment: BTreeMap<String, String>,
    by_theirs: BTreeMap<String, Key>,
    /// Calls and met faults of identity checks, by payment.
    checks: BTreeMap<String, Calls>,
    identity_checks: u64,
    faults: BTreeMap<String, u64>,
    violations: BTreeMap<String, u64>,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) struct DeclarationOutcome {
    pub what: DeclarationResult,
    /// What bends the reply.
    pub fault: Option<Fault>,
}

/// What is to be said.
#[derive(Debug)]
pub(crate) enum DeclarationResult {
    /// The declaration as it stands.
    Shown(Box<Declaration>),
    /// It was filed with other terms.
    Differs,
    /// The payment does not exist, is not paid, or has another number.
    NoPayment,
    /// The payment has as many sub-orders as it may have.
    TooMany,
    /// More would be declared than was paid.
    TooMuch,
    /// It may not be filed again as it stands.
    WrongState,
    /// There is no such declaration.
    Absent,
    /// A fault of the outcome: asked too often or customs that are not configured, and nothing was
    /// filed; or a code that does not say what was.
    Faulty(FaultReply),
    /// The book is full.
    Full,
}

/// How a declaration is filed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RefilingKind {
    Redeclare,
    Modify,
}

impl DeclarationBook {
    /// Files a declaration, or not, as the plan of faults has it. One that is filed is shown as it
    /// stands.
    pub(crate) fn declare(
        &mut self,
        key: &Key,
        terms: DeclaredTerms,
        paid: Option<&PaidPayment>,
        settings: &Settings,
        now: Timestamp,
    ) -> DeclarationOutcome {
        let mut entry = match self.declarations.get(key) {
            Some(entry) => entry.clone(),
            None if self.declarations.len() >= MOST => {
                return DeclarationOutcome {
                    what: DeclarationResult::Full,
                    fault: None,
                };
            }
            None => Declaration::seen(key, &terms, now),
        };
        let filed = entry.state != DeclarationState::Seen;
        if self.is_another(key) || (filed && terms != entry.terms && terms != entry.first) {
            return self.violated("two_declarations", DeclarationResult::Differs);
        }
        entry.advance(now, false);
        let mut fault = entry.submitted(settings, filed);
        let what = if filed || fault.is_some_and(Fault::is_before) {
            shown(&entry)
        } else if let Some(refused) = self.forbidden(key, &terms, paid) {
            fault = None;
            refused
        } else {
            let hidden = now.plus(settings.late);
            let file = |entry: &mut Declaration| {
                entry.first = terms.clone();
                entry.terms = terms;
                entry.theirs = entry.name(settings);
                entry.payment = paid.map(|paid| paid.theirs.clone()).unwrap_or_default();
                entry.paid = paid.cloned();
                entry.filed += 1;
                entry.start(DeclarationState::Undeclared, fault, settings, now);
                if fault == Some(Fault::LateVisible) {
                    entry.hidden_until = hidden;
                }
            };
            perform(&mut entry, fault, settings, file)
        };
        self.keep(entry, fault);
        DeclarationOutcome { what, fault }
    }

    /// Files the same once more: from `SUCCESS` and `EXCEPT` only.
    pub(crate) fn redeclare(
        &mut self,
        key: &Key,
        merchant_customs_no: &str,
        settings: &Settings,
        now: Timestamp,
    ) -> DeclarationOutcome {
        let Some(entry) = self.declarations.get(key) else {
            return DeclarationOutcome {
                what: DeclarationResult::Absent,
                fault: None,
            };
        };
        let terms = DeclaredTerms {
            merchant_customs_no: merchant_customs_no.to_owned(),
            ..entry.terms.clone()
        };
        self.again(key, terms, RefilingKind::Redeclare, settings, now)
    }

    /// Files other terms in place of those in force: from `SUCCESS`, `EXCEPT` and `FAIL`. What was
    /// modified to these very terms already is shown as it stands.
    pub(crate) fn modify(
        &mut self,
        key: &Key,
        terms: DeclaredTerms,
        paid: Option<&PaidPayment>,
        settings: &Settings,
        now: Timestamp,
    ) -> DeclarationOutcome {
        if !self.declarations.contains_key(key) {
            return DeclarationOutcome {
                what: DeclarationResult::Absent,
                fault: None,
            };
        }
        match self.forbidden(key, &terms, paid) {
            Some(refused) => DeclarationOutcome {
                what: refused,
                fault: None,
            },
            None => self.again(key, terms, RefilingKind::Modify, settings, now),
        }
    }

    fn again(
        &mut self,
        key: &Key,
        terms: DeclaredTerms,
        how: RefilingKind,
        settings: &Settings,
        now: Timestamp,
    ) -> DeclarationOutcome {
        let Some(mut entry) = self
            .declarations
            .get(key)
            .cloned()
            .filter(|entry| entry.state != DeclarationState::Seen)
        else {
            return DeclarationOutcome {
                what: DeclarationResult::Absent,
                fault: None,
            };
        };
        entry.advance(now, false);
        let failed = matches!(
            entry.state,
            DeclarationState::Fail | DeclarationState::Except
        );
        let repeated =
            how == RefilingKind::Modify && entry.modified > 0 && entry.terms == terms && !failed;
        let allowed = entry.state == DeclarationState::Success
            || entry.state == DeclarationState::Except
            || (how == RefilingKind::Modify && failed);
        let paid = entry.paid.clone().filter(|_| allowed && !repeated);
        if let Some(refused) = paid.and_then(|paid| self.above(key, &terms, &paid)) {
            return DeclarationOutcome {
                what: refused,
                fault: None,
            };
        }
        let fault = entry.submitted(settings, repeated || !allowed);
        let what = if repeated || fault.is_some_and(Fault::is_before) {
            shown(&entry)
        } else if allowed {
            let file = |entry: &mut Declaration| {
                entry.terms = terms;
                match how {
                    RefilingKind::Redeclare => entry.redeclared += 1,
                    RefilingKind::Modify => entry.modified += 1,
                }
                let state = if how == RefilingKind::Modify {
                    DeclarationState::Submitted
                } else {
                    DeclarationState::Undeclared
                };
                entry.start(state, fault, settings, now);
            };
            perform(&mut entry, fault, settings, file)
        } else {
            DeclarationResult::WrongState
        };
        self.keep(entry, fault);
        DeclarationOutcome { what, fault }
    }

    /// The declarations of these keys, as far as they can be seen; and what bends the reply, by the
    /// first of them.
    pub(crate) fn query(
        &mut self,
        keys: &[Key],
        settings: &Settings,
        now: Timestamp,
    ) -> (Vec<Declaration>, Option<Fault>) {
        let (mut seen, mut bends, mut first) = (Vec::new(), None, true);
        for key in keys {
            let Some(mut entry) = self.declarations.get(key).cloned() else {
                continue;
            };
            let fault = if first { entry.queried(settings) } else { None };
            first = false;
            bends = bends.or(fault);
            if !bends.is_some_and(Fault::is_before) {
                entry.advance(now, true);
                if entry.state != DeclarationState::Seen && entry.hidden_until <= now {
                    entry.shown |= entry.state == DeclarationState::Success;
                    seen.push(entry.clone());
                }
            }
            self.keep(entry, fault);
        }
        (seen, bends)
    }

    /// A check of a person, which changes nothing: what bends the reply.
    pub(crate) fn check(&mut self, payment: &str, settings: &Settings) -> Option<Fault> {
        let mut calls = self.checks.get(payment).copied().unwrap_or_default();
        let fault = calls.next(&settings.plan, payment, CallKind::Query);
        calls.note(fault);
        self.identity_checks += u64::from(!fault.is_some_and(Fault::is_before));
        if self.checks.len() < MOST {
            self.checks.insert(payment.to_owned(), calls);
        }
        self.count(fault);
        fault
    }

    /// The key of a sub-order's declaration.
    pub(crate) fn of_sub_order(&self, sub_order: &str, customs: &str) -> Option<Key> {
        self.by_sub_order
            .get(&(sub_order.to_owned(), customs.to_owned()))
            .cloned()
    }

    /// The keys of a payment's declarations.
    pub(crate) fn of_order(&self, order: &str) -> Vec<Key> {
        let from = Key {
            order: order.to_owned(),
            sub_order: String::new(),
            customs: String::new(),
        };
        let keys = self.declarations.range(from..).map(|(key, _)| key);
        keys.take_while(|key| key.order == order).cloned().collect()
    }

    /// The keys of a payment's declarations, by the gateway's number of the payment.
    pub(crate) fn of_payment(&self, theirs: &str) -> Vec<Key> {
        self.by_payment
            .get(theirs)
            .map(|order| self.of_order(order))
            .unwrap_or_default()
    }

    /// The key of a declaration by the gateway's number of it.
    pub(crate) fn of_theirs(&self, theirs: &str) -> Option<Key> {
        self.by_theirs.get(theirs).cloned()
    }

    /// A declaration as it stands in the book.
    pub(crate) fn entry(&self, key: &Key) -> Option<&Declaration> {
        self.declarations.get(key)
    }

    /// The book in sum; what went wrong is added to the counts of the fake.
    pub(crate) fn totals(
        &self,
        faults: &mut BTreeMap<String, u64>,
        violations: &mut BTreeMap<String, u64>,
    ) -> CustomsTotals {
        let add = |to: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>| {
            from.iter()
                .for_each(|(word, times)| *to.entry(word.clone()).or_default() += times);
        };
        add(faults, &self.faults);
        add(violations, &self.violations);
        let mut totals = CustomsTotals {
            identity_checks: self.identity_checks,
            ..CustomsTotals::default()
        };
        for entry in self
            .declarations
            .values()
            .filter(|entry| entry.state != DeclarationState::Seen)
        {
            let states = totals.filed.entry(entry.key.customs.clone()).or_default();
            *states.entry(entry.state.as_str().to_owned()).or_default() += 1;
            totals.filed_twice += u64::from(entry.filed.saturating_sub(1));
            totals.redeclared += u64::from(entry.redeclared);
            totals.modified += u64::from(entry.modified);
        }
        if totals.filed_twice > 0 {
            violations.insert("filed_twice".into(), totals.filed_twice);
        }
        totals
    }

    /// Whether a sub-order's number is another payment's at these customs.
    fn is_another(&self, key: &Key) -> bool {
        !key.sub_order.is_empty()
            && self
                .of_sub_order(&key.sub_order, &key.customs)
                .is_some_and(|other| other != *key)
    }

    /// Why these terms cannot be declared of the payment. Amounts are compared where the currencies
    /// are the same.
    fn forbidden(
        &mut self,
        key: &Key,
        terms: &DeclaredTerms,
        paid: Option<&PaidPayment>,
    ) -> Option<DeclarationResult> {
        let Some(paid) = paid else {
            return Some(DeclarationResult::NoPayment);
        };
        let others: Vec<&Declaration> = self
            .of_order(&key.order)
            .iter()
            .filter(|other| *other != key)
            .filter_map(|other| self.declarations.get(other))
            .filter(|entry| entry.state != DeclarationState::Seen)
            .collect();
        let sub_orders: BTreeSet<&str> = others
            .iter()
            .map(|entry| entry.key.sub_order.as_str())
            .collect();
        if sub_orders.len() >= SUB_ORDERS_MAX && !sub_orders.contains(key.sub_order.as_str()) {
            return Some(DeclarationResult::TooMany);
        }
        self.above(key, terms, paid)
    }

    /// Whether the customs would have more declared of the payment than was paid: as a whole and by
    /// sub-orders, or by sub-orders that are more than the payment together. What the customs refuse
    /// counts no more.
    fn above(
        &mut self,
        key: &Key,
        terms: &DeclaredTerms,
        paid: &PaidPayment,
    ) -> Option<DeclarationResult> {
        let (mut split_too, mut sum) = (false, fees_of(terms, paid));
        for other in self.of_order(&key.order) {
            let state = self
                .declarations
                .get(&other)
                .filter(|entry| other != *key && other.customs == key.customs && entry.stands());
            let Some(entry) = state else { continue };
            split_too |= other.sub_order.is_empty() != key.sub_order.is_empty();
            sum = sum.saturating_add(fees_of(&entry.terms, paid));
        }
        let word = if split_too {
            "declared_whole_and_split"
        } else if sum > paid.minor {
            "declared_above_payment"
        } else {
            return None;
        };
        *self.violations.entry(word.into()).or_default() += 1;
        Some(DeclarationResult::TooMuch)
    }

    fn violated(&mut self, word: &str, what: DeclarationResult) -> DeclarationOutcome {
        *self.violations.entry(word.to_owned()).or_default() += 1;
        DeclarationOutcome { what, fault: None }
    }

    fn count(&mut self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            *self.faults.entry(fault.as_str().to_owned()).or_default() += 1;
        }
    }

    fn keep(&mut self, mut entry: Declaration, fault: Option<Fault>) {
        entry.calls.note(fault);
        self.count(fault);
        if entry.state != DeclarationState::Seen {
            self.by_payment
                .insert(entry.payment.clone(), entry.key.order.clone());
            self.by_theirs
                .insert(entry.theirs.clone(), entry.key.clone());
        }
        if entry.state != DeclarationState::Seen && !entry.key.sub_order.is_empty() {
            let sub_order = (entry.key.sub_order.clone(), entry.key.customs.clone());
            self.by_sub_order.insert(sub_order, entry.key.clone());
        }
        self.declarations.insert(entry.key.clone(), entry);
    }
}

/// What is declared of a sub-order, where it is in the payment's currency; else nobody can compare.
fn fees_of(terms: &DeclaredTerms, paid: &PaidPayment) -> i64 {
    let fees = terms.fees.as_ref();
    fees.filter(|fees| fees.currency == paid.currency)
        .map_or(0, |fees| fees.order)
}

/// Has the effect, unless the fault is that there is none.
fn perform(
    entry: &mut Declaration,
    fault: Option<Fault>,
    settings: &Settings,
    file: impl FnOnce(&mut Declaration),
) -> DeclarationResult {
    let coin = settings.plan.coin_flip(entry.key.number());
    let effect = SubmitEffect::of(fault, coin);
    if let SubmitEffect::Declined(reply) = effect {
        return DeclarationResult::Faulty(reply);
    }
    file(entry);
    if effect == SubmitEffect::HappensUnmapped {
        DeclarationResult::Faulty(FaultReply::Unmapped)
    } else {
        shown(entry)
    }
}

fn shown(entry: &Declaration) -> DeclarationResult {
    DeclarationResult::Shown(Box::new(entry.clone()))
}
