//! What persons do to items: withdraw them, have them tried again, or say what became of them. The
//! state machine decides whether that may be; the audit log has it in the same commit.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::approvals::approval_batch::release_keys;
use crate::approvals::votes::void_stale_approval;
use crate::audit::NewAuditEntry;
use crate::contracts::stop_reasons::{StopReason, stopped_items};
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::bulk_actions::{BulkVerb, note_progress};
use crate::items::bulk_items::keep_items;
use crate::items::item_rows::{
    ItemChange, ItemRecord, TOLD_BEFORE, policy_of, reason_code, write_change,
};
use crate::items::run_withdrawal::of_withdrawn_run;
use crate::items::settle::Attempt;
use crate::lanes::pauses::wake_contract;
use crate::planning::payment_names::other_name_of;
use crate::planning::replacement::filed_again_as;
use crate::planning::whole_or_parts::{RetryClash, clash_of};
use payrun_domain::actor::{Actor, Authorization};
use payrun_domain::answer::AnswerKind;
use payrun_domain::approval::{ApprovalRight, right};
use payrun_domain::history::AttemptKind;
use payrun_domain::item::{Event, IllegalMove, Move, Resolution, State, apply, heeding};
use payrun_domain::message::Message;
use payrun_domain::money::Amount;
use payrun_domain::reason::ReasonCode;
use payrun_domain::time::Timestamp;

/// What a person wants of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperatorAction {
    /// Never to be sent.
    Cancel,
    /// To be tried again, once it is certain that this is safe.
    Retry,
    /// To be taken for what a person has found out about it.
    Resolve(Resolution),
}

impl OperatorAction {
    fn event(&self) -> Event {
        match self {
            Self::Cancel => Event::Cancel,
            Self::Retry => Event::Retry,
            Self::Resolve(finding) => Event::Resolve(finding.clone()),
        }
    }

    const fn action(&self) -> &'static str {
        match self {
            Self::Cancel => "item.cancel",
            Self::Retry => "item.retry",
            Self::Resolve(_) => "item.resolve",
        }
    }

    const fn told(&self) -> Message {
        match self {
            Self::Cancel => Message::new("cancelled-by", "cancelled by {who}: {why}"),
            Self::Retry => {
                Message::new("to-be-tried-again-by", "to be tried again by {who}: {why}")
            }
            Self::Resolve(_) => Message::new("resolved-by", "resolved by {who}: {why}"),
        }
    }

    /// What is kept as evidence, where there is any.
    fn attempt(&self, by: ActionAuthor<'_>, now: Timestamp) -> Option<Attempt> {
        let Self::Resolve(finding) = self else {
            return None;
        };
        let (answer, found) = match finding {
            Resolution::Succeeded(receipt) => {
                (AnswerKind::Done, format!("it happened, {}", receipt.0))
            }
            Resolution::Failed => (AnswerKind::Declined, "it did not happen".to_owned()),
        };
        Some(Attempt {
            kind: AttemptKind::Person,
            operation: AttemptKind::Person.as_str().to_owned(),
            started_at: now,
            ended_at: now,
            answer,
            code: String::new(),
            http: None,
            evidence: format!("{}: {}, {}; {found}", by.who, by.why, by.via),
            numbers: Vec::new(),
        })
    }
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionResult {
    /// The item is in this state now.
    Moved(State),
    /// It may be under way, and stays in this state until that is known; nothing more of it is
    /// sent.
    Withdrawn(State),
    /// The state machine does not allow it.
    Refused(IllegalMove),
    /// Another item of its contract is in flight.
    ContractBusy,
    /// It was withdrawn before it was approved, and gave its key back: it can be planned anew.
    NeverApproved,
    /// It is not what it was when it was chosen.
    Changed,
    /// What it was answered is no longer kept, and without that nothing can be tried again.
    EvidenceGone,
    /// It is done again with other content, as this item.
    FiledAgain(i64),
    /// This item is for the same whole in another shape, or for the same part in other letters.
    Clashes(i64),
    /// This item is for the same, and may have done it or may still do it; or it is a later change
    /// of the same.
    DoneAs(i64),
    /// This item names the same payment by another number.
    OtherPayment(i64),
    /// This later item gives the same back of the same payment, and may have done so.
    GivenBackAs(i64),
    /// Nothing more of it is sent.
    Stopped(StopReason),
    /// There is no such item.
    NoSuchItem,
}

/// What is said of what needs review and was withdrawn.
pub const WITHDRAWN_NEEDS_REVIEW: &str = "it needs review, and nothing more of it is sent; nobody queries it any more: say what became of it with `payrun resolve`";

impl ActionResult {
    /// Counts what was done by the state that the item is in now; false if nothing was done.
    pub fn count_done(
        &self,
        moved: &mut BTreeMap<State, u64>,
        withdrawn: &mut BTreeMap<State, u64>,
    ) -> bool {
        let (states, state) = match self {
            Self::Moved(state) => (moved, state),
            Self::Withdrawn(state) => (withdrawn, state),
            Self::Refused(_)
            | Self::ContractBusy
            | Self::NeverApproved
            | Self::Changed
            | Self::EvidenceGone
            | Self::FiledAgain(_)
            | Self::Clashes(_)
            | Self::DoneAs(_)
            | Self::OtherPayment(_)
            | Self::GivenBackAs(_)
            | Self::Stopped(_)
            | Self::NoSuchItem => return false,
        };
        *states.entry(*state).or_default() += 1;
        true
    }

    /// Why nothing was done, for programs; empty if something was.
    pub const fn refusal_code(&self) -> &'static str {
        match self {
            Self::Moved(_) | Self::Withdrawn(_) => "",
            Self::Refused(_) => "not_allowed",
            Self::ContractBusy => "contract_busy",
            Self::NeverApproved => "never_approved",
            Self::Changed => "changed",
            Self::EvidenceGone => "evidence_gone",
            Self::FiledAgain(_) => "filed_again",
            Self::Clashes(_) => "clashes",
            Self::DoneAs(_) => "done_as",
            Self::OtherPayment(_) => "other_payment",
            Self::GivenBackAs(_) => "given_back",
            Self::Stopped(
                StopReason::Suspended { .. } | StopReason::Ended { .. } | StopReason::Behind { .. },
            ) => "contract_stopped",
            Self::Stopped(StopReason::Revoked { .. }) => "approval_revoked",
            Self::Stopped(StopReason::RunWithdrawn { .. }) => "run_withdrawn",
            Self::Stopped(StopReason::OwnBatch { .. }) => "own_batch",
            Self::NoSuchItem => "not_found",
        }
    }

    /// What became of it, for people.
    pub fn words(&self) -> String {
        self.message().to_string()
    }

    /// The same, as it can be said in other languages.
    pub fn message(&self) -> Message {
        let named = |item: &i64, message: Message| message.with("item", *item);
        match self {
            Self::Moved(state) => Message::new("action-moved", "it {predicate} now")
                .with("predicate", state.predicate_told()),
            Self::Withdrawn(State::NeedsReview) => {
                Message::new(
                    "action-withdrawn-needs-review",
                    "it needs review, and nothing more of it is sent; nobody queries it any more: say what became of it with `payrun resolve`",
                )
            }
            Self::Withdrawn(state) => Message::new(
                "action-withdrawn",
                "it {predicate}: nothing more of it is sent, and what is under way is queried until it has ended",
            )
            .with("predicate", state.predicate_told()),
            Self::Refused(illegal) => illegal.message(),
            Self::ContractBusy => Message::new(
                "action-contract-busy",
                "another item of its contract is in flight; wait until that has ended",
            ),
            Self::NeverApproved => Message::new(
                "action-never-approved",
                "it was withdrawn before it was approved; plan it anew, its key is free",
            ),
            Self::Changed => {
                Message::new("action-changed", "it has moved since it was counted")
            }
            Self::EvidenceGone => Message::new(
                "action-evidence-gone",
                "its run is so old that its evidence and input are gone (retention.evidence in payrun.yaml)",
            ),
            Self::FiledAgain(by) => named(
                by,
                Message::new(
                    "action-filed-again",
                    "it is filed again with other content as item {item}; retry that one",
                ),
            ),
            Self::Clashes(other) => named(
                other,
                Message::new(
                    "action-clashes",
                    "item {item} is for the same in another way, the whole or a part of it, or the same number in other capitals: both \
                     together are more than the whole; it may be tried again once that item has failed or was cancelled",
                ),
            ),
            Self::DoneAs(other) => named(
                other,
                Message::new(
                    "action-done-as",
                    "item {item} is for the same, by another row, and did it, may have done it or may still do it: both together would \
                     do it twice. It may be tried again once that item has failed or was cancelled; to change what was declared, use \
                     the job kind redeclare with way: modify",
                ),
            ),
            Self::OtherPayment(other) => named(
                other,
                Message::new(
                    "action-other-payment",
                    "item {item} names the same payment by another number, so one of the two names a payment that is not meant: look \
                     which is right (payrun show --item {item}). It may be tried again once that item has failed or was cancelled; if \
                     this one is wrong, mend its row",
                ),
            ),
            Self::GivenBackAs(later) => named(
                later,
                Message::new(
                    "action-given-back",
                    "item {item} was planned later and gives the same back of the same payment; both together would give it back twice. \
                     It may be tried again once that item has failed or was cancelled; if both are meant, give a row with a key of its own",
                ),
            ),
            Self::Stopped(stopped) => stopped.message(),
            Self::NoSuchItem => Message::new("action-no-such-item", "there is no such item"),
        }
    }
}

/// What a person may ask of an item by its state. Whether it is granted, other things decide too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OfferedActions {
    /// That nothing more of it is sent.
    pub cancel: bool,
    /// That it is tried again.
    pub retry: bool,
    /// That it is taken for what was found out.
    pub resolve: bool,
}

/// Who wants it, which way it came, and why.
#[derive(Debug, Clone, Copy)]
struct ActionAuthor<'a> {
    /// None where a contract takes its items with it.
    actor: Option<&'a Actor>,
    who: &'a str,
    via: &'a str,
    why: &'a str,
}

impl<'a> ActionAuthor<'a> {
    fn of(by: &'a Authorization) -> Self {
        Self {
            actor: Some(&by.actor),
            who: by.actor.name(),
            via: by.actor.via(),
            why: by.reason.as_str(),
        }
    }
}

/// Withdraws an item with the contract it belongs to, whose history says who and why; false if it
/// cannot be withdrawn.
pub(crate) async fn cancel_with_contract(
    tx: &mut WriteTx,
    item_id: i64,
    (who, why): (&str, &str),
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let by = ActionAuthor {
        actor: None,
        who,
        via: "contract",
        why,
    };
    move_item(tx, (item_id, None), &OperatorAction::Cancel, by, now)
        .await
        .map(|granted| granted.is_ok())
}

/// An item that was moved.
struct MovedItem {
    to: State,
    amount: Option<Amount>,
    change: (State, i64),
    /// Whether only the withdrawal was noted, since it may be under way.
    withdrawal_noted: bool,
}

impl MovedItem {
    const fn granted(&self) -> ActionResult {
        if self.withdrawal_noted {
            ActionResult::Withdrawn(self.to)
        } else {
            ActionResult::Moved(self.to)
        }
    }
}

impl Ledger {
    /// What a person may ask of an item, as the state machine has it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn offered_actions(
        &self,
        item_id: i64,
        now: Timestamp,
    ) -> Result<OfferedActions, LedgerError> {
        let failed = |source| LedgerError::of("reading an item", source);
        let row = sqlx::query(include_str!("item_of_action.sql"))
            .bind(item_id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let Some(row) = row else {
            return Ok(OfferedActions::default());
        };
        let key: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
        let pruned: Option<i64> = row.try_get("pruned_to").map_err(failed)?;
        if key.is_none() || pruned.is_some() {
            return Ok(OfferedActions::default());
        }
        let (stored, policy) = (ItemRecord::read(&row)?, policy_of(&row)?);
        let allows = |event: &Event| apply(&stored.item, event, &policy, now).is_ok();
        let is_withdrawn = stored.withdrawn.is_some();
        Ok(OfferedActions {
            cancel: !is_withdrawn && (stored.item.state.is_in_flight() || allows(&Event::Cancel)),
            retry: allows(&Event::Retry),
            resolve: allows(&Event::Resolve(Resolution::Failed)),
        })
    }

    /// Does what a person wants of one item.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn apply_action(
        &self,
        item_id: i64,
        action: &OperatorAction,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<ActionResult, LedgerError> {
        let mut tx = self.begin_write("changing an item").await?;
        let moved =
            match move_item(&mut tx, (item_id, None), action, ActionAuthor::of(by), now).await? {
                Ok(moved) => moved,
                Err(refused) => {
                    tx.rollback().await?;
                    return Ok(refused);
                }
            };
        let (before, target) = (
            json!({ "state": moved.change.0.as_str() }),
            format!("item {item_id}"),
        );
        let mut after = json!({ "state": moved.to.as_str(), "version": moved.change.1 });
        if moved.withdrawal_noted {
            after["withdrawn"] = json!(true);
        }
        if let OperatorAction::Resolve(Resolution::Succeeded(receipt)) = action {
            after["receipt"] = json!(receipt.0);
        }
        tx.note(NewAuditEntry {
            by,
            action: action.action(),
            target,
            before,
            after,
            at: now,
        })
        .await?;
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(moved.granted())
    }

    /// Whether a person has withdrawn an item that may be under way: nothing new of it is to be
    /// sent.
    ///
    /// # Errors
    /// Whatever the database says; then nothing may be sent.
    pub async fn is_withdrawn(&self, item_id: i64) -> Result<bool, LedgerError> {
        let query = concat!(
            "select count(*) from items as i where i.id = $1 and (i.withdrawn is not null or ",
            of_withdrawn_run!("i"),
            ")"
        );
        let found = sqlx::query_scalar::<_, i64>(query)
            .bind(item_id)
            .fetch_one(&self.read)
            .await;
        let found = found.map_err(|source| LedgerError::of("looking for a withdrawal", source))?;
        let is_withdrawn = found > 0;
        #[cfg(feature = "mutation")]
        let is_withdrawn = crate::mutation::is_withdrawn(is_withdrawn);
        Ok(is_withdrawn)
    }

    /// Does what a bulk action wants of some of its items, each as it was when it was
    /// counted (`(item, version)`), in one commit with one entry of the audit log, and says in its row
    /// how far it is. `chosen`: in words, how the items were.
    ///
    /// # Errors
    /// Whatever the database says; then nothing of these has changed.
    pub async fn apply_actions(
        &self,
        bulk_action: i64,
        items: &[(i64, i64)],
        verb: BulkVerb,
        (by, chosen): (&Authorization, &str),
        now: Timestamp,
    ) -> Result<Vec<(i64, ActionResult)>, LedgerError> {
        let action = verb.action();
        let mut tx = self.begin_write("changing items").await?;
        let mut outcome = Vec::with_capacity(items.len());
        let mut moved = Vec::new();
        for (id, version) in items {
            let of_counted = (*id, Some(*version));
            match move_item(&mut tx, of_counted, &action, ActionAuthor::of(by), now).await? {
                Ok(one) => {
                    outcome.push((*id, one.granted()));
                    moved.push((*id, one));
                }
                Err(refused) => outcome.push((*id, refused)),
            }
        }
        note_progress(&mut tx, bulk_action, &outcome, now).await?;
        if !moved.is_empty() {
            let changed = moved.iter().map(|(id, one)| (*id, one.change.1));
            keep_items(&mut tx, bulk_action, changed, now).await?;
            tx.note(NewAuditEntry {
                by,
                action: action.action(),
                target: "items".to_owned(),
                before: json!({ "chosen": chosen, "items": items.len(), "bulk_action": bulk_action }),
                after: summed(&moved),
                at: now,
            })
            .await?;
        }
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(outcome)
    }
}

fn summed(moved: &[(i64, MovedItem)]) -> serde_json::Value {
    let (mut states, mut withdrawn, mut sums) = (
        BTreeMap::new(),
        BTreeMap::new(),
        BTreeMap::<&str, i64>::new(),
    );
    for (_, one) in moved {
        // What may be under way stays in its state until that is known.
        let counted = if one.withdrawal_noted {
            &mut withdrawn
        } else {
            &mut states
        };
        *counted.entry(one.to.as_str()).or_insert(0_u64) += 1;
        if let Some(amount) = one.amount {
            *sums.entry(amount.currency().code()).or_default() += amount.minor();
        }
    }
    let ids: Vec<i64> = moved.iter().map(|(id, _)| *id).collect();
    let mut after = json!({ "states": states, "minor": sums, "ids": ids });
    if !withdrawn.is_empty() {
        after["withdrawn"] = json!(withdrawn);
    }
    after
}

/// Moves an item, if that may be and it has this version.
async fn move_item(
    tx: &mut WriteTx,
    (id, version): (i64, Option<i64>),
    action: &OperatorAction,
    by: ActionAuthor<'_>,
    now: Timestamp,
) -> Result<Result<MovedItem, ActionResult>, LedgerError> {
    let failed = |source| LedgerError::of("changing an item", source);
    let row = sqlx::query(include_str!("item_of_action.sql"))
        .bind(id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed)?;
    let Some(row) = row else {
        return Ok(Err(ActionResult::NoSuchItem));
    };
    let state: &str = row.try_get("state").map_err(failed)?;
    if let Some(state @ (State::Rejected | State::Skipped)) = State::parse(state) {
        return Ok(Err(ActionResult::Refused(IllegalMove {
            state,
            event: action.event().kind(),
        })));
    }
    if row
        .try_get::<Option<&[u8]>, _>("key_hash")
        .map_err(failed)?
        .is_none()
    {
        return Ok(Err(ActionResult::NeverApproved));
    }
    if row
        .try_get::<Option<i64>, _>("pruned_to")
        .map_err(failed)?
        .is_some()
    {
        return Ok(Err(ActionResult::EvidenceGone));
    }
    let stored = ItemRecord::read(&row)?;
    if version.is_some_and(|version| version != stored.version) {
        return Ok(Err(ActionResult::Changed));
    }
    let asks_only = match action {
        OperatorAction::Retry => match allow_retry(tx, &row, &stored, by).await? {
            Ok(asks_only) => asks_only,
            Err(refused) => return Ok(Err(refused)),
        },
        OperatorAction::Cancel | OperatorAction::Resolve(_) => false,
    };
    let stored = ItemRecord {
        withdrawn: stored
            .withdrawn
            .filter(|_| *action != OperatorAction::Retry || asks_only),
        ..stored
    };
    // What is planned may have been sent by the ledger that was lost: the claim has it asked about
    // first.
    let may_be_under_way = stored.item.state.is_in_flight()
        || (stored.item.state == State::Planned && stored.may_be_forgotten(stored.item.generation));
    if *action == OperatorAction::Cancel && may_be_under_way {
        if stored.withdrawn.is_some() {
            return Ok(Err(ActionResult::Withdrawn(stored.item.state)));
        }
        note_withdrawal(tx, id, Some(&by), now).await?;
        let change = (stored.item.state, stored.version);
        return Ok(Ok(MovedItem {
            to: stored.item.state,
            amount: stored.amount,
            change,
            withdrawal_noted: true,
        }));
    }
    let moved = match apply(&stored.item, &action.event(), &policy_of(&row)?, now) {
        Ok(moved) => {
            // What follows of a retry: whether it is asked about first, and until when.
            let follows = moved.reason.clone();
            let follows = follows.filter(|_| matches!(action, OperatorAction::Retry));
            let done = action.told().with("who", by.who).with("why", by.why);
            let told = std::iter::once(done).chain(follows).collect();
            moved.because(Some(Message::all(told)))
        }
        Err(illegal) => return Ok(Err(ActionResult::Refused(illegal))),
    };
    let busy: Option<i64> = row.try_get("busy_with").map_err(failed)?;
    if moved.item.state.is_in_flight() && busy.is_some() {
        return Ok(Err(ActionResult::ContractBusy));
    }
    let result = match action {
        OperatorAction::Retry => keeping_words(
            &stored,
            row.try_get::<Option<&str>, _>("reason").map_err(failed)?,
            reason_code(&row, id)?,
        )?,
        OperatorAction::Cancel | OperatorAction::Resolve(_) => None,
    };
    write(tx, (&stored, result.as_deref()), &moved, action, by, now).await?;
    if *action == OperatorAction::Retry && !asks_only {
        note_withdrawal(tx, id, None, now).await?;
    }
    let change = (stored.item.state, stored.version + 1);
    let to = stored
        .withdrawn
        .as_ref()
        .map_or(moved.item.state, |withdrawal| {
            heeding(withdrawal, &stored.item, moved.clone()).item.state
        });
    Ok(Ok(MovedItem {
        to,
        amount: stored.amount,
        change,
        withdrawal_noted: false,
    }))
}

/// Whether a retry only asks about what needs review, and leaves it withdrawn; or why nothing is tried
/// again.
async fn allow_retry(
    tx: &mut WriteTx,
    row: &AnyRow,
    stored: &ItemRecord,
    by: ActionAuthor<'_>,
) -> Result<Result<bool, ActionResult>, LedgerError> {
    if let Some(other) = done_by_another(tx, row, stored).await? {
        return Ok(Err(other));
    }
    let stopped = stopped_items(tx.connection(), &[stored.id])
        .await?
        .remove(&stored.id);
    // What needs review may have happened: it is asked about, and stays withdrawn.
    let asks_only =
        stopped.is_some() && stored.item.state == State::NeedsReview && stored.withdrawn.is_some();
    if let Some(stopped) = stopped.filter(|_| !asks_only) {
        return Ok(Err(ActionResult::Stopped(stopped)));
    }
    let is_withdrawn = stored.item.state == State::Cancelled || stored.withdrawn.is_some();
    if is_withdrawn && let Some(own) = own_batch(tx, stored.job_id, by).await? {
        return Ok(Err(ActionResult::Stopped(own)));
    }
    Ok(Ok(asks_only))
}

/// The item that does, or may do, what this one did not: tried again, it would be done twice.
async fn done_by_another(
    tx: &mut WriteTx,
    row: &AnyRow,
    stored: &ItemRecord,
) -> Result<Option<ActionResult>, LedgerError> {
    if let Some(later) = filed_again_as(stored.id, stored.result.as_deref())?
        && has_key(tx, later).await?
    {
        return Ok(Some(ActionResult::FiledAgain(later)));
    }
    // In any other state it was not given up.
    if !matches!(stored.item.state, State::Failed | State::Cancelled) {
        return Ok(None);
    }
    if let Some(clash) = clash_of(tx, row).await? {
        return Ok(Some(match clash {
            RetryClash::OtherShape(other) => ActionResult::Clashes(other),
            RetryClash::Same(other) => ActionResult::DoneAs(other),
        }));
    }
    if let Some(other) = other_name_of(tx, row).await? {
        return Ok(Some(ActionResult::OtherPayment(other)));
    }
    let given_back_as: Option<i64> = row
        .try_get("given_back_as")
        .map_err(|source| LedgerError::of("changing an item", source))?;
    Ok(given_back_as.map(ActionResult::GivenBackAs))
}

/// What was withdrawn from an approved batch is not what was approved any more: whoever started the
/// batch does not send it again.
async fn own_batch(
    tx: &mut WriteTx,
    job_id: i64,
    by: ActionAuthor<'_>,
) -> Result<Option<StopReason>, LedgerError> {
    let failed = |source| LedgerError::of("looking for the batch of an item", source);
    let query = "select a.author, r.author_user from approvals as a join jobs as j on j.id = a.job_id \
                   join runs as r on r.id = j.run_id where a.job_id = $1";
    let row = sqlx::query(query)
        .bind(job_id)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed)?;
    let (Some(row), Some(actor)) = (row, by.actor) else {
        return Ok(None);
    };
    let author: String = row.try_get("author").map_err(failed)?;
    let author_user: Option<String> = row.try_get("author_user").map_err(failed)?;
    let may_approve = right(actor, &author, author_user.as_deref()) == ApprovalRight::Approves;
    Ok((!may_approve).then_some(StopReason::OwnBatch { author }))
}

/// Whether an item was not let go before anything came of it.
async fn has_key(tx: &mut WriteTx, id: i64) -> Result<bool, LedgerError> {
    let query = sqlx::query("select id from items where id = $1 and key_hash is not null").bind(id);
    let found = query.fetch_optional(tx.connection()).await;
    found
        .map(|row| row.is_some())
        .map_err(|source| LedgerError::of("changing an item", source))
}

/// Keeps the withdrawal, which says that nothing more is sent, or takes it away. It is no move: whoever is at the
/// item goes on, and heeds it when the answer is written.
async fn note_withdrawal(
    tx: &mut WriteTx,
    id: i64,
    by: Option<&ActionAuthor<'_>>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let words = by.map(|by| format!("{}: {}", by.who, by.why));
    let note = "update items set withdrawn = $2, withdrawn_at = $3, \
                  next_at = case when state = 'planned' and $3 is not null then $3 else next_at end where id = $1";
    let noted = sqlx::query(note)
        .bind(id)
        .bind(&words)
        .bind(words.as_ref().map(|_| now.millis()));
    let noted = noted.execute(tx.connection()).await;
    noted
        .map(|_| ())
        .map_err(|source| LedgerError::of("withdrawing an item", source))
}

/// The result of an item with the words by which it was refused, so that they stand in its reason
/// until a new answer replaces them; none where nothing changes.
fn keeping_words(
    stored: &ItemRecord,
    reason: Option<&str>,
    code: Option<ReasonCode>,
) -> Result<Option<String>, LedgerError> {
    let mut result = stored.facts.clone();
    let refusal = match code {
        Some(ReasonCode::Declined | ReasonCode::NeedsDecision) => reason,
        // It was asked about since, and nobody answered: the words are still the last.
        Some(ReasonCode::AskedInVain) => return Ok(None),
        Some(
            ReasonCode::ContractBusy
            | ReasonCode::ContractNeedsReview
            | ReasonCode::ContractPaused
            | ReasonCode::ContractEnding,
        )
        | None => None,
    };
    let stale = result.remove(TOLD_BEFORE).is_some();
    if let Some(refusal) = refusal {
        result.insert(TOLD_BEFORE.to_owned(), refusal.into());
    }
    Ok((refusal.is_some() || stale).then(|| serde_json::Value::Object(result).to_string()))
}

async fn write(
    tx: &mut WriteTx,
    (stored, result): (&ItemRecord, Option<&str>),
    moved: &Move,
    action: &OperatorAction,
    by: ActionAuthor<'_>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let written = ItemChange {
        stored,
        event: action.event().kind(),
        moved,
        lease: None,
        result,
        at: now,
    };
    let attempt = action.attempt(by, now);
    let attempts: Vec<_> = attempt
        .iter()
        .map(|attempt| attempt.line(stored.id, stored.version, &stored.order_no, false))
        .collect();
    write_change(tx, written, &attempts).await?;
    if let Some(exclusive_key) = stored
        .exclusive_key
        .as_ref()
        .filter(|_| stored.item.state == State::NeedsReview)
    {
        wake_contract(tx, exclusive_key, now).await?;
    }
    if stored.item.state == State::AwaitingApproval {
        release_keys(tx, &[stored.id]).await?;
        void_stale_approval(tx, stored.job_id).await?;
    }
    if moved.item.state.is_open() {
        reopen(tx, stored.job_id).await?;
    }
    Ok(())
}

async fn reopen(tx: &mut WriteTx, job_id: i64) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("opening a job again", source);
    let job = "update jobs set finished_at = null where id = $1";
    sqlx::query(job)
        .bind(job_id)
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    let run =
        "update runs set finished_at = null where id = (select run_id from jobs where id = $1)";
    sqlx::query(run)
        .bind(job_id)
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    Ok(())
}
