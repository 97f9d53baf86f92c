//! A declaration that is filed again with other content: its row was mended after it failed, or
//! nobody knew what became of it.
//!
//! The item of before keeps its content, its number and its history. The mended one is an item of
//! the new run under the next generation of the same key, so that of one key at most one item is
//! ever under way: the one of before is refused a retry.
//!
//! What the gateway has is asked before anything is sent, and decides how it is filed: what it does
//! not have is declared, and what it has is modified (or pushed again, where nothing of the filing
//! itself has changed). From the first answer on the item keeps which it is, since after a
//! modification a query may still show the state of before.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};
use thiserror::Error;

use crate::attempt::lane_effects;
use crate::attempt::{
    AttemptContext, apply_query_interval, attempt_of, call_at_rate, expected, merged,
    note_unattested,
};
use crate::planning::item_builder::ItemBuilder;
use crate::vault::{self, StoredInputError, VaultError};
use crate::{Account, Engine};
use payrun_domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::{Event, IllegalMove, apply};
use payrun_domain::message::Message;
use payrun_domain::own_code::OwnCode;
use payrun_domain::policy::Policy;
use payrun_domain::time::Timestamp;
use payrun_gateway::{Call, Observation};
use payrun_ledger::{
    ClaimKind, Claimed, EarlierItem, LedgerError, NewItem, PlanWriter, ReplacedItem,
    ReplacementCheck, Settlement,
};
use payrun_project::job_kinds::judge::{ExpectedReply, judge};
use payrun_project::job_kinds::{JobKind, Operations};
use payrun_project::workflow::render::PersonalValues;

/// The most generations of a key: whoever has mended a row so often needs something else.
const GENERATIONS_MAX: usize = 50;

/// The fact that holds how an item is filed, once the gateway has been asked.
const FILED_AS: &str = "filed_as";

/// The word for a first declaration, for one that the gateway does not have.
const DECLARE: &str = "declare";
const MODIFY: &str = "modify";
const REDECLARE: &str = "redeclare";

/// The state of a declaration that the customs' interface lost: what may be pushed again as it is
/// (docs/gateways/wechat.md, "Customs").
const LOST: &str = "EXCEPT";

/// How a claimed item is to be filed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filing {
    /// It is no item that files something again.
    First,
    /// The gateway has to be asked what it has.
    Ask,
    /// The gateway does not have it.
    Declare,
    /// By the kind for what the gateway has, in this way.
    Again(&'static str),
}

impl Filing {
    /// As the item's result says.
    pub(crate) fn of(claimed: &Claimed) -> Self {
        let known = claimed.facts();
        if !known.contains_key(ReplacedItem::FACT) {
            return Self::First;
        }
        match known.get(FILED_AS).and_then(Value::as_str) {
            Some(DECLARE) => Self::Declare,
            Some(MODIFY) => Self::Again(MODIFY),
            Some(REDECLARE) => Self::Again(REDECLARE),
            Some(_) | None => Self::Ask,
        }
    }

    /// The operations by which it is filed and asked about on an account.
    pub(crate) fn operations<'a>(
        self,
        engine: &'a Engine,
        kind: &'a JobKind,
        account: &Account,
    ) -> Option<&'a Operations> {
        let kind = match self {
            Self::First | Self::Ask | Self::Declare => kind,
            Self::Again(_) => engine.job_kinds.by_name.get(kind.redo_with.as_ref()?)?,
        };
        kind.gateways.get(account.kind)
    }

    /// Says in a call in which way what the gateway has is filed again.
    pub(crate) fn set_refiling_method(self, call: &mut Call) {
        if let Self::Again(way) = self {
            call.input.insert("way".to_owned(), way.into());
        }
    }
}

/// Asks the gateway what it has of a declaration that is to be filed again. Nothing of the item
/// itself is sent.
pub(crate) async fn ask(
    context: &AttemptContext<'_>,
    call: &Call,
) -> Result<Settlement, IllegalMove> {
    let operation = context.operations.query.clone().unwrap_or_default();
    let question = Call {
        operation,
        amount: None,
        ..call.clone()
    };
    let started_at = context.engine.clock.now();
    let mut observed = call_at_rate(context.engine, context.account, &question).await;
    let now = context.engine.clock.now();
    // Another amount than the mended one is no contradiction here.
    let expected = ExpectedReply {
        amount: None,
        ..expected(context, &context.operations.query_outcomes, call)
    };
    let judged = judge(
        &context.operations.query_outcomes,
        true,
        true,
        &observed,
        &expected,
    );
    note_unattested(context, &context.work.kind, &judged, now).await;
    lane_effects::close(context, &judged, &observed, now).await;
    let found = FiledState::of(context, &judged.answer, &observed);
    if context.claimed.claim_kind == ClaimKind::Query {
        return asked_unsent(context, &question, &found, observed, started_at);
    }
    observed.result.clear();
    observed
        .result
        .extend(found.method().map(|way| (FILED_AS.to_owned(), way.into())));
    let result = merged(
        context.claimed.facts(),
        std::mem::take(&mut observed.result),
    );
    let (item, policy) = (&context.claimed.item, &context.work.policy);
    let Some(answer) = found.hindrance(policy) else {
        let moved = apply(item, &Event::Unsent, policy, now)?;
        let attempt = attempt_of(
            &question.operation,
            started_at,
            now,
            &judged.answer,
            observed,
        );
        return Ok(Settlement::looked_up(
            context.claimed,
            moved,
            attempt,
            result,
            now,
        ));
    };
    let moved = apply(item, &Event::Answered(answer.clone()), policy, now)?;
    let reason = found
        .reason()
        .filter(|_| moved.item.state.is_open() || matches!(found, FiledState::Successful));
    let moved = match reason {
        Some(reason) => moved.because(Some(reason)),
        None => moved,
    };
    let attempt = attempt_of(&question.operation, started_at, now, &answer, observed);
    Ok(Settlement::answered(
        context.claimed,
        moved,
        attempt,
        result,
        now,
    ))
}

/// It was claimed to be asked about before anything of it was sent: its process died while it was
/// looked for, or the ledger was restored. Whatever the gateway has is what was filed before; once
/// the grace period is over, the lookup comes again.
fn asked_unsent(
    context: &AttemptContext<'_>,
    question: &Call,
    found: &FiledState,
    mut observed: Observation,
    started_at: Timestamp,
) -> Result<Settlement, IllegalMove> {
    let now = context.engine.clock.now();
    let answer = match found {
        FiledState::Way(_) | FiledState::Successful | FiledState::UnderWay => Answer::Absent,
        FiledState::Unanswered(code) => Answer::Unknown {
            cause: Cause::NotAsked,
            code: code.clone(),
        },
    };
    let moved = apply(
        &context.claimed.item,
        &Event::Answered(answer.clone()),
        &context.work.policy,
        now,
    )?;
    let moved = apply_query_interval(context.account, true, moved, now);
    observed.result.clear();
    let attempt = attempt_of(&question.operation, started_at, now, &answer, observed);
    Ok(Settlement::answered(
        context.claimed,
        moved,
        attempt,
        None,
        now,
    ))
}

/// What the gateway has.
enum FiledState {
    /// Nothing, or what it does not accept: how it is filed then.
    Way(&'static str),
    /// What was filed before, and the customs have accepted it.
    Successful,
    /// What was filed before, and nobody has decided on it yet.
    UnderWay,
    /// It did not say, and why.
    Unanswered(String),
}

impl FiledState {
    fn of(context: &AttemptContext<'_>, answer: &Answer, seen: &Observation) -> Self {
        match answer {
            Answer::Absent => Self::Way(DECLARE),
            Answer::Declined(_) => Self::Way(again(context, seen)),
            Answer::Done(_) => Self::Successful,
            Answer::Accepted => Self::UnderWay,
            Answer::NotProcessed { .. } | Answer::Unknown { .. } => {
                Self::Unanswered(answer.code().to_owned())
            }
        }
    }

    /// Why nothing can be sent now, or at all; none where it can.
    fn hindrance(&self, policy: &Policy) -> Option<Answer> {
        match self {
            Self::Way(_) => None,
            Self::Successful => Some(Answer::Declined(Decline {
                code: OwnCode::FiledBefore.to_string(),
                class: DeclineClass::Hard,
                number: NumberRule::Same,
            })),
            Self::UnderWay => Some(Answer::NotProcessed {
                code: OwnCode::FilingUnderWay.to_string(),
                after: policy
                    .query
                    .schedule
                    .last()
                    .and_then(|wait| u64::try_from(wait.as_millis()).ok()),
            }),
            Self::Unanswered(code) => Some(Answer::NotProcessed {
                code: code.clone(),
                after: None,
            }),
        }
    }

    const fn method(&self) -> Option<&'static str> {
        match self {
            Self::Way(way) => Some(way),
            Self::Successful | Self::UnderWay | Self::Unanswered(_) => None,
        }
    }

    const fn reason(&self) -> Option<Message> {
        match self {
            Self::Way(_) => None,
            Self::Successful => Some(Message::new(
                "refiling-accepted-before",
                "the customs have accepted what was filed before with other content: nothing was sent; to change it, use the \
                 job kind redeclare with way: modify",
            )),
            Self::UnderWay => Some(Message::new(
                "refiling-under-way",
                "waits: the customs have not decided on what was filed before with other content",
            )),
            Self::Unanswered(_) => Some(Message::new(
                "refiling-unanswered",
                "waits: the gateway did not say what it has of the declaration; nothing was sent",
            )),
        }
    }
}

/// How the gateway takes again what it has and the customs refuse. Pushing it again is for what the
/// customs lost, and changes nothing of it: right where only the buyer was mended, and the gateway
/// has no buyer in its declaration.
fn again(context: &AttemptContext<'_>, seen: &Observation) -> &'static str {
    let known = context.claimed.facts();
    let is_same = known.get(ReplacedItem::SAME_TERMS) == Some(&Value::Bool(true));
    let is_lost = seen.state.as_deref() == Some(LOST);
    if is_same && is_lost && context.operations.payer_check.is_some() {
        REDECLARE
    } else {
        MODIFY
    }
}

/// Finds the rows that are filed again with other content, and makes them items of the next
/// generation of their keys. What cannot be filed again is given the key of the newest item, so
/// that its refusal speaks of that one.
pub(crate) async fn prepare(
    planning: &mut PlanWriter,
    scope: &ItemBuilder,
    items: &mut [NewItem],
) -> Result<(), FiledComparisonError> {
    let mut rows_of: HashMap<KeyHash, u32> = HashMap::with_capacity(items.len());
    for item in items.iter_mut() {
        item.again = ReplacementCheck::Possible;
        *rows_of.entry(item.key_hash).or_default() += 1;
    }
    let several = |at: &usize| rows_of[&items[*at].key_hash] > 1;
    let several: Vec<usize> = (0..items.len()).filter(several).collect();
    contradictions(planning, scope, items, &several).await?;
    // Rows that say different things under one key are refused together, whatever was filed before.
    let mut left: Vec<usize> = (0..items.len())
        .filter(|at| rows_of[&items[*at].key_hash] == 1)
        .collect();
    let mut newest: HashMap<usize, EarlierItem> = HashMap::new();
    for generation in 1..=GENERATIONS_MAX {
        let keys: Vec<KeyHash> = left
            .iter()
            .map(|at| scope.key_of(&items[*at].key, generation))
            .collect();
        let mut found = planning.earlier(&keys).await?;
        let mut met = Vec::new();
        for (at, key) in left.into_iter().zip(keys) {
            if let Some(earlier) = found.remove(&key) {
                newest.insert(at, earlier);
                met.push(at);
            } else if let Some(earlier) = newest.remove(&at) {
                follow(
                    scope,
                    planning.run_id(),
                    earlier,
                    &mut items[at],
                    generation,
                )?;
            }
        }
        left = met;
        if left.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Finds the rows whose personal data is another than that of an earlier row of the run with the
/// same key: as with amounts, neither is sent then. `of`: the rows that are compared.
pub(crate) async fn contradictions(
    planning: &mut PlanWriter,
    scope: &ItemBuilder,
    items: &mut [NewItem],
    of: &[usize],
) -> Result<(), FiledComparisonError> {
    let mut first_with: HashMap<KeyHash, usize> = HashMap::with_capacity(of.len());
    for at in of {
        let first = *first_with.entry(items[*at].key_hash).or_insert(*at);
        if first != *at && personal_of(scope, &items[first])? != personal_of(scope, &items[*at])? {
            items[*at].again = ReplacementCheck::Contradicts;
        }
    }
    let keys: Vec<KeyHash> = first_with.keys().copied().collect();
    if keys.is_empty() {
        return Ok(());
    }
    for (key, earlier) in planning.earlier(&keys).await? {
        if earlier.run_id() == planning.run_id()
            && let Some(at) = first_with.get(&key)
            && personal_of_earlier(scope, &earlier)? != personal_of(scope, &items[*at])?
        {
            items[*at].again = ReplacementCheck::Contradicts;
        }
    }
    Ok(())
}

fn personal_of(scope: &ItemBuilder, item: &NewItem) -> Result<Map<String, Value>, VaultError> {
    personal(fields_of(item)?, |fields| {
        scope.opened(fields, item.key_hash)
    })
}

fn personal_of_earlier(
    scope: &ItemBuilder,
    earlier: &EarlierItem,
) -> Result<Map<String, Value>, StoredInputError> {
    personal(earlier.fields()?, |fields| {
        scope.opened_stored(fields, (earlier.id(), earlier.key()))
    })
}

/// What was planned for an item just now; the ledger has not seen it.
fn fields_of(item: &NewItem) -> Result<Map<String, Value>, VaultError> {
    serde_json::from_str(&item.input).map_err(|_| VaultError::Unreadable)
}

/// The personal data of an input.
fn personal<E>(
    fields: Map<String, Value>,
    open: impl FnOnce(Map<String, Value>) -> Result<Map<String, Value>, E>,
) -> Result<Map<String, Value>, E> {
    let is_sealed =
        |(name, value): (&String, &Value)| vault::sealed(value).is_some().then(|| name.clone());
    let names: HashSet<String> = fields.iter().filter_map(is_sealed).collect();
    let mut open = open(fields)?;
    open.retain(|name, _| names.contains(name));
    Ok(open)
}

/// Makes a row an item of this generation if it mends the one of before; else gives it the key of
/// that one.
fn follow(
    scope: &ItemBuilder,
    run_id: i64,
    earlier: EarlierItem,
    item: &mut NewItem,
    generation: usize,
) -> Result<(), FiledComparisonError> {
    let of = item.key_hash;
    if earlier.run_id() == run_id
        && personal_of_earlier(scope, &earlier)? != personal_of(scope, item)?
    {
        item.again = ReplacementCheck::Contradicts;
        item.key_hash = earlier.key();
        return Ok(());
    }
    let is_other = earlier.run_id() != run_id && differs(scope, &earlier, item)?;
    if !is_other || !earlier.can_be_replaced() {
        item.again = if is_other {
            ReplacementCheck::TooLate
        } else {
            ReplacementCheck::Possible
        };
        item.key_hash = scope.key_of(&item.key, generation - 1);
        return Ok(());
    }
    item.key_hash = scope.key_of(&item.key, generation);
    item.input = resealed(scope, item, of, item.key_hash)?;
    if let Some(own) = &item.custom_order_no {
        // Where the user's number leaves no room, it is derived: the gateway knows a declaration by
        // its payment and customs.
        item.custom_order_no = OrderNumber::parse(&format!("{own}-{generation}")).ok();
    }
    let same_terms = earlier.content_hash() == Some(item.content_hash);
    item.again = ReplacementCheck::Replaces(Box::new(ReplacedItem {
        earlier,
        same_terms,
    }));
    Ok(())
}

/// Whether a row says something else than the item of before, personal data included.
fn differs(
    scope: &ItemBuilder,
    earlier: &EarlierItem,
    item: &NewItem,
) -> Result<bool, FiledComparisonError> {
    if earlier.is_pruned() {
        return Ok(earlier.content_hash() != Some(item.content_hash));
    }
    if earlier.amount() != item.amount {
        return Ok(true);
    }
    let before = scope.opened_stored(earlier.fields()?, (earlier.id(), earlier.key()))?;
    Ok(before != scope.opened(fields_of(item)?, item.key_hash)?)
}

/// An input whose personal data is bound to another key.
fn resealed(
    scope: &ItemBuilder,
    item: &NewItem,
    of: KeyHash,
    to: KeyHash,
) -> Result<String, VaultError> {
    let sealed = fields_of(item)?;
    let Some(vault) = scope
        .vault()
        .filter(|_| sealed.values().any(|value| vault::sealed(value).is_some()))
    else {
        return Ok(item.input.clone());
    };
    let mut open = scope.opened(sealed.clone(), of)?;
    let names = sealed
        .iter()
        .filter(|(_, value)| vault::sealed(value).is_some())
        .map(|(name, _)| name);
    let take = |name: &String| match open.remove(name) {
        Some(Value::String(value)) => Some((name.clone(), value)),
        Some(_) | None => None,
    };
    let private = PersonalValues::new(names.filter_map(take).collect());
    vault.seal_into(Value::Object(open).to_string(), &private, to)
}

/// Why rows could not be compared with what was filed before.
#[derive(Debug, Error)]
pub enum FiledComparisonError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What was filed before cannot be read.
    #[error(transparent)]
    Sealed(#[from] VaultError),
}

impl From<StoredInputError> for FiledComparisonError {
    fn from(error: StoredInputError) -> Self {
        match error {
            StoredInputError::Ledger(error) => Self::Ledger(error),
            StoredInputError::Vault(error) => Self::Sealed(error),
        }
    }
}
