//! Batches that wait for approval, and those that were decided; and whether the reader may approve
//! one.

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::page_fields::PageQuery;
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::approval::{ApprovalRight, right};
use crate::domain::role::Role;
use crate::domain::time::Timestamp;
use crate::http::App;
use crate::ledger::{ApprovalRow, ApprovalState, ListedApprovals};

/// How many batches a list has.
const PAGE: u32 = 50;

/// Which batches.
#[derive(Debug, Deserialize)]
pub(super) struct ApprovalListQuery {
    /// Of those that wait, only those before this one.
    waiting_before: Option<i64>,
    /// The same of those that were decided.
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct ApprovalListPage {
    page: PageFrame,
    waiting: Vec<ListedApproval>,
    next_waiting: Option<i64>,
    decided: Vec<ListedApproval>,
    next_decided: Option<i64>,
    is_first: bool,
}

/// A batch in a list.
struct ListedApproval {
    row: ApprovalRow,
    colour: &'static str,
    sums: Vec<Sum>,
    standing: ApproverStanding,
}

/// What waits for approval, then what was decided, newest first.
pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(query): PageQuery<ApprovalListQuery>,
) -> Result<impl IntoResponse, PageError> {
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let before = query.waiting_before.unwrap_or(i64::MAX);
    let waiting = ledger.approvals(ListedApprovals::Open, before, PAGE);
    let waiting = waiting.await?;
    let before = query.before.unwrap_or(i64::MAX);
    let decided = ledger.approvals(ListedApprovals::Decided, before, PAGE);
    let decided = decided.await?;
    let listed = |rows: Vec<ApprovalRow>| {
        rows.into_iter()
            .map(|row| ListedApproval {
                colour: colour_of(row.state),
                sums: sums_of(&row),
                standing: ApproverStanding::of(&viewer, &row, now),
                row,
            })
            .collect()
    };
    Ok(Page(ApprovalListPage {
        page: PageFrame::of(&viewer),
        next_waiting: next_before(&waiting),
        waiting: listed(waiting),
        next_decided: next_before(&decided),
        decided: listed(decided),
        is_first: query.before.is_none() && query.waiting_before.is_none(),
    }))
}

fn next_before(rows: &[ApprovalRow]) -> Option<i64> {
    let last = rows.last().filter(|_| rows.len() == PAGE as usize);
    last.map(|row| row.id)
}

/// The money of a batch, by currency.
pub(super) fn sums_of(approval: &ApprovalRow) -> Vec<Sum> {
    let sum = |(currency, minor): &_| Sum::of_minor(i128::from(*minor), *currency);
    approval.sums.iter().map(sum).collect()
}

/// The class by which the style sheet colours a batch's state.
pub(super) const fn colour_of(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Waiting => "awaiting_approval",
        ApprovalState::Approved => "succeeded",
        ApprovalState::Rejected | ApprovalState::Revoked => "failed",
        ApprovalState::Expired => "cancelled",
        ApprovalState::Void => "needs_review",
    }
}

/// Whether a reader may approve a batch, and why not. The ledger decides it again in the commit
/// that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApproverStanding {
    /// They may.
    Approves,
    /// Their role does not approve.
    OtherRole,
    /// They began the run.
    Own,
    /// It was begun at the console: whether they did cannot be told.
    Incomparable,
    /// They have approved, and another has to.
    VotedBefore,
    /// It does not wait for anybody.
    Over,
}

impl ApproverStanding {
    /// Of a reader, now.
    pub fn of(viewer: &Viewer, approval: &ApprovalRow, now: Timestamp) -> Self {
        if approval.state != ApprovalState::Waiting || approval.expires_at <= now {
            return Self::Over;
        }
        if !viewer.caller.role.may_do_as(Role::Approver) {
            return Self::OtherRole;
        }
        let Ok(actor) = viewer.caller.actor() else {
            return Self::Own;
        };
        match right(&actor, &approval.author, approval.author_user.as_deref()) {
            ApprovalRight::Own => return Self::Own,
            ApprovalRight::Incomparable => return Self::Incomparable,
            ApprovalRight::Approves => {}
        }
        let voted = approval.votes.iter();
        if voted
            .map(|vote| &vote.person)
            .any(|person| *person == actor.identity())
        {
            return Self::VotedBefore;
        }
        Self::Approves
    }

    /// The message that says why not; none where there is nothing to say.
    pub const fn message(self) -> Option<&'static str> {
        match self {
            Self::Approves | Self::Over => None,
            Self::OtherRole => Some("approvals-other-role"),
            Self::Own => Some("approvals-own"),
            Self::Incomparable => Some("approvals-incomparable"),
            Self::VotedBefore => Some("approvals-voted"),
        }
    }
}
