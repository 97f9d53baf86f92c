//! Job kinds: what a job may do, as data. `jobs/*.yaml` are compiled in; a folder of the user's may
//! override them.
//!
//! A job kind says which input fields there are, what makes the key, which operations of which
//! gateway submit and ask, which gateway code means which answer, and the default policies. It
//! knows no workflow, no ledger and no network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use payrun_domain::answer::{Cause, DeclineClass, LaneEffect, NumberRule};
use payrun_domain::message::Message;
use payrun_domain::policy::Policy;
use payrun_domain::subscription::ContractSignal;

pub mod chinese_labels;
pub(crate) mod customs_names;
#[cfg(test)]
mod documented_codes;
pub(crate) mod field;
pub mod judge;
pub mod load;
mod outcomes;
pub mod remedies;
pub mod spec;

/// Every job kind by name.
#[derive(Debug, Clone)]
pub struct JobKinds {
    /// By name: `deduct`, `query`.
    pub by_name: BTreeMap<String, Arc<JobKind>>,
}

/// One job kind.
#[derive(Debug, Clone)]
pub struct JobKind {
    /// Its name, as `uses:` spells it.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Whether it moves money or otherwise changes something at the gateway. If not, it may be sent
    /// again freely, and the same key may run in every run.
    pub effect: bool,
    /// What may be given under `with:`.
    pub fields: Vec<InputField>,
    /// The field of which only one item may be in flight at a time: the contract of a deduction.
    pub one_at_a_time: Option<String>,
    /// Groups of fields of which exactly one must be given.
    pub one_of: Vec<Vec<String>>,
    /// Groups of fields of which all are given or none.
    pub all_or_none: Vec<Vec<String>>,
    /// What must add up: the item's amount, and the fields it is the sum of.
    pub amount_is_sum_of: Vec<String>,
    /// The kind by whose operations an item is done again that the gateway has, where a row with
    /// other content under the same key does again what has failed.
    pub redo_with: Option<String>,
    /// The field that holds the number of an identity card.
    pub identity_card: Option<IdentityCard>,
    /// Fields of which one may not be above another: a number in another unit shows by that.
    pub not_above: Vec<NotAbove>,
    /// A value of a field that stands for several, each an item of its own: a port that needs two
    /// filings.
    pub expand: Option<FieldExpansion>,
    /// What is done either of a whole or of its parts.
    pub whole_or_parts: Option<WholeOrParts>,
    /// The two fields that name the same payment.
    pub payment_names: Option<PaymentFields>,
    /// Whether payrun does it by itself: no gateway is called.
    pub local: bool,
    /// Whether its batches wait for somebody's approval unless the workflow says otherwise.
    pub approval: bool,
    /// As what its items stand in the gateway's statements; none if they do not.
    pub in_statement: Option<StatementRole>,
    /// The fields the key is made of where the workflow gives none; empty: the workflow must give
    /// one.
    pub key: Vec<String>,
    /// The field that is the order number, where an order is only looked up.
    pub order_number: Option<String>,
    /// A date field, and how long before the run it may be: the gateway takes nothing older.
    pub not_older_than: Option<NotOlderThan>,
    /// By gateway kind (`wechat`): how it is done there.
    pub gateways: BTreeMap<String, Operations>,
    /// What fields ask of each other on the gateway it is done on; empty before [`JobKind::on`].
    pub rules: Vec<FieldRule>,
    /// Policies where the workflow gives none.
    pub policy: Policy,
}

/// What a field asks of others on one gateway: the price in CNY, say, where `is_rmb` is `TRUE`. A
/// row that breaks one is refused when it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldRule {
    /// The field that asks.
    pub field: String,
    /// With which of its values it asks; empty: with any.
    pub values: Vec<String>,
    /// Fields that must be given then.
    pub needs: Vec<String>,
    /// Fields that must not be given then.
    pub without: Vec<String>,
    /// By field: the values it may have then.
    pub only: BTreeMap<String, Vec<String>>,
    /// What to do about it, for people.
    pub remedy: String,
}

/// As what an item stands in a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementRole {
    /// By its order number.
    Payment,
    /// By its refund number.
    Refund,
    /// By the order number of what it took back.
    Reversal,
}

/// How old the thing may be that an item is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotOlderThan {
    /// The date field.
    pub field: String,
    /// How long before the run's date it may be.
    pub age: Duration,
}

/// Where a row names a person by a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityCard {
    /// The field with the document's number.
    pub number: String,
    /// The field that says what document it is, where there is one: an identity card, if it is
    /// empty or [`IdentityCard::CARD`].
    pub document: Option<String>,
}

impl IdentityCard {
    /// The word for an identity card.
    pub const CARD: &'static str = "IDCARD";

    /// Whether the document is an identity card. `given` finds the value of a field.
    pub fn is_card<'v>(&self, given: impl Fn(&str) -> Option<&'v str>) -> bool {
        self.document
            .as_deref()
            .and_then(given)
            .is_none_or(|document| document.is_empty() || document == Self::CARD)
    }
}

/// A decimal field that is never above another field of the row, where both are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAbove {
    /// The decimal field.
    pub field: String,
    /// The field it is compared with: a decimal one, or the amount.
    pub most: String,
    /// What to do about a row that breaks it, for people.
    pub remedy: String,
}

/// What is done once of a whole, or of its parts, never both: kinds that name the same fields count
/// together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeOrParts {
    /// The fields that name the whole: a payment and a customs.
    pub of: Vec<String>,
    /// The field that names a part; where it is not given, the item is for the whole.
    pub part: String,
}

/// The two fields that name the same payment: one number of the one goes with one of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentFields {
    /// The field with the merchant's number.
    pub ours: String,
    /// The field with the gateway's.
    pub theirs: String,
}

/// A field of which some values stand for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldExpansion {
    /// The field.
    pub field: String,
    /// By value: those it stands for, in order.
    pub values: BTreeMap<String, Vec<String>>,
}

/// One input field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputField {
    /// Its name under `with:`.
    pub name: String,
    /// What it may hold.
    pub kind: FieldKind,
    /// Whether it must be given (and must not come out empty).
    pub required: bool,
    /// Whether it is personal data: encrypted at rest, never shown.
    pub sensitive: bool,
    /// Whether a different value makes the same key another thing. Descriptions do not.
    pub identity: bool,
    /// The kinds of gateway that are told of it; none: all of the job kind's.
    pub gateways: Vec<String>,
    /// Whether the account's gateway is told of it.
    pub is_told: bool,
    /// What it holds if the workflow gives nothing; a template over `run`.
    pub default: Option<String>,
    /// Of a currency: the codes that are taken; none: every code.
    pub currencies: Vec<String>,
    /// Why it may not be given on this account, where it may not.
    pub refused: Option<Message>,
    /// The most bytes of UTF-8 that the gateway takes, where it counts bytes.
    pub max_bytes: Option<usize>,
    /// Whether it stands in a statement that separates values by a comma and a back-tick, and
    /// quotes nothing.
    pub in_statement: bool,
    /// One line for people.
    pub doc: String,
}

/// What a field may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldKind {
    /// Text of so many characters, of these characters.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
        /// Which characters; none: any but control characters.
        alphabet: Option<Alphabet>,
        /// Whether it takes only what UTF-8 writes in at most three bytes: no emoji, no rare hanzi.
        utf8mb3: bool,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// A day: `YYYY-MM-DD`.
    Date,
    /// Money beside the item's amount, in its currency: decimal text in main units, which may be
    /// zero.
    Decimal,
    /// The item's amount: decimal text in main units. At most one field of a kind.
    Amount,
    /// The item's currency: an ISO 4217 code. At most one field of a kind.
    Currency,
}

/// A named set of characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// `0-9`.
    Digits,
    /// `A-Z a-z 0-9 _ -` and what gateways add for order numbers: nothing.
    OrderNumber,
    /// What gateways name things by: printable ASCII without blanks, quotation marks, back-ticks,
    /// commas and semicolons.
    Name,
    /// Printable ASCII.
    Ascii,
}

/// How a job kind is done on one kind of gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operations {
    /// The operation that has the effect.
    pub submit: String,
    /// The operation that asks what became of it; none for kinds without effect.
    pub query: Option<String>,
    /// An operation that explains a decline in words (the contract's state); its answer changes
    /// nothing.
    pub explain: Option<String>,
    /// The lookup of the payment that the operation acts on, which comes before it: it must be
    /// there, and it says how much may be given back.
    pub lookup: Option<PaymentLookup>,
    /// A question about the payer, asked once the order shows at the gateway. Its answer is kept
    /// and decides nothing.
    pub payer_check: Option<PayerCheck>,
    /// The fields by which the gateway names what the operation is about, where that is not our
    /// order number: the first that is given.
    pub named_by: Vec<String>,
    /// Whether the replies name no amount, so that none can be compared.
    pub names_no_amount: bool,
    /// Fields that must be given on this gateway, beside those that must be everywhere.
    pub requires: Vec<String>,
    /// By field of a choice: the words that this gateway knows, where it does not know all.
    pub values: BTreeMap<String, Vec<String>>,
    /// By text field: the most characters that this gateway takes, where they are fewer.
    pub max: BTreeMap<String, usize>,
    /// Whether this gateway takes only texts that UTF-8 writes in at most three bytes a character.
    pub utf8mb3: bool,
    /// What fields ask of each other on this gateway.
    pub rules: Vec<FieldRule>,
    /// By field: the most bytes of UTF-8 that this gateway takes.
    pub max_bytes: BTreeMap<String, usize>,
    /// How old the payment must be that it withdraws.
    pub not_before: Option<NotBefore>,
    /// The text fields that stand in the gateway's statement, which separates values by a comma and
    /// a back-tick.
    pub statement_texts: Vec<String>,
    /// What is kept of the replies beside the item's own result.
    pub stores: Option<ReplyStorage>,
    /// What the submit's observations mean.
    pub submit_outcomes: Vec<OutcomeRow>,
    /// What the query's observations mean.
    pub query_outcomes: Vec<OutcomeRow>,
}

impl Operations {
    /// Every row of its outcome tables: of submitting, of querying, of the lookup.
    pub fn outcomes(&self) -> impl Iterator<Item = &OutcomeRow> {
        let lookup = self.lookup.iter().flat_map(|lookup| &lookup.outcomes);
        self.submit_outcomes
            .iter()
            .chain(&self.query_outcomes)
            .chain(lookup)
    }

    /// Whether some refusal spends the order number, so that the next one would be used.
    pub fn spends_numbers(&self) -> bool {
        let spends =
            |row: &OutcomeRow| matches!(row.meaning, OutcomeMeaning::Declined(_, NumberRule::Next));
        self.submit_outcomes
            .iter()
            .chain(&self.query_outcomes)
            .any(spends)
    }
}

/// How the payment is looked up that an operation acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentLookup {
    /// The gateway's operation.
    pub operation: String,
    /// The field without which nothing is looked up.
    pub given: Option<String>,
    /// What its observations mean: `done` is a payment that may be acted on.
    pub outcomes: Vec<OutcomeRow>,
    /// Whether the item's amount is taken from the payment: it must be in its currency, and all of
    /// them together not above it.
    pub reserves_amount: bool,
}

/// How old a payment that payrun made must be before this is sent; earlier the gateway refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotBefore {
    /// The field whose value decides.
    pub field: String,
    /// What it is where it is not given.
    pub if_not_given: String,
    /// By its value: the age. What is not named may be sent at once.
    pub ages: BTreeMap<String, Duration>,
}

/// A question about the payer of an order that is filed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayerCheck {
    /// The gateway's operation.
    pub operation: String,
    /// The field without which nothing is asked.
    pub given: String,
}

/// What is kept of replies beside the item's own result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyStorage {
    /// The file, and its lines in the ledger.
    Statement,
    /// The batches, in the ledger.
    Settlements,
}

/// One row of an outcome table: the first that matches decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeRow {
    /// The HTTP status, or its class (`5xx`); none matches any.
    pub http: Option<HttpMatch>,
    /// The gateway's error code; none matches any, or none.
    pub code: Option<String>,
    /// The order's state in the gateway's words; none matches any, or none.
    pub state: Option<String>,
    /// A fact of the reply that must have this value; none matches any.
    pub fact: Option<(String, String)>,
    /// A field of the item that must have this value; none matches any.
    pub when: Option<(String, String)>,
    /// Whether it counts only where payrun knows of no refund of the payment: else the reply may
    /// speak of that.
    pub unless_refunded: bool,
    /// After what it counts only; before, the same reply may speak of the past.
    pub after: Option<Prerequisite>,
    /// Whether it says that the order number exists already; rows with [`Prerequisite::Exists`]
    /// count from then on.
    pub exists: bool,
    /// How long it is left alone at least before it is sent again, where that is what it means.
    pub wait: Option<Duration>,
    /// How long the day must be over that is asked about; before, the same reply may only mean "not
    /// yet".
    pub day_over_for: Option<Duration>,
    /// What it means.
    pub meaning: OutcomeMeaning,
    /// What it does to the lane.
    pub lane: LaneEffect,
    /// Whether the kind's `explain` operation is worth calling.
    pub explain: bool,
    /// What a decline says of the contract, where it says more than of the order.
    pub contract: Option<ContractSignal>,
    /// What a person may do about it, in a few words.
    pub advice: Option<String>,
    /// Whether a decline says that the request as such is at fault: the first items of a job that
    /// meet it stop the job.
    pub request_fault: bool,
    /// Where this row comes from: the page of the gateway's that says so, or `[C]` and what it
    /// rests on.
    pub source: String,
}

impl OutcomeRow {
    /// Whether no page of the gateway's attests what this row means (the mark `[C]`).
    pub fn is_assumed(&self) -> bool {
        self.source.contains("[C]")
    }
}

/// What must have been heard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prerequisite {
    /// The gateway has accepted the order.
    Accepted,
    /// A submission was answered that its number exists already.
    Exists,
}

/// An HTTP status or a class of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpMatch {
    /// Exactly this one.
    Status(u16),
    /// All of `n`00 to `n`99.
    Class(u16),
}

/// What an outcome row means, before the reply's own values are put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeMeaning {
    /// See [`payrun_domain::answer::Answer::Done`].
    Done,
    /// Done, and there is nothing to be had: a day without trades.
    Nothing,
    /// See [`payrun_domain::answer::Answer::Accepted`].
    Accepted,
    /// See [`payrun_domain::answer::Answer::Declined`].
    Declined(DeclineClass, NumberRule),
    /// See [`payrun_domain::answer::Answer::NotProcessed`].
    NotProcessed,
    /// See [`payrun_domain::answer::Answer::Absent`]; in query tables only.
    Absent,
    /// See [`payrun_domain::answer::Answer::Unknown`].
    Unknown(Cause),
}
