//! What becomes of one declaration: when it is decided, and how. Pure but for the plan of faults.

use super::{Declaration, DeclarationState, DeclaredTerms, Key};
use crate::Settings;
use crate::faults::{CallKind, Fault};
use crate::shared::fault_flow::Calls;
use crate::wechat::order_book::short_hash;
use payrun_domain::time::Timestamp;

impl Declaration {
    /// One that was asked for, and not filed.
    pub(super) fn seen(key: &Key, terms: &DeclaredTerms, now: Timestamp) -> Self {
        Self {
            key: key.clone(),
            terms: terms.clone(),
            first: terms.clone(),
            state: DeclarationState::Seen,
            theirs: String::new(),
            payment: String::new(),
            paid: None,
            filed: 0,
            redeclared: 0,
            modified: 0,
            modified_at: now,
            calls: Calls::default(),
            decide_at: now,
            queries_left: 0,
            hidden_until: Timestamp::default(),
            shown: false,
        }
    }

    /// The gateway's number of it.
    pub(super) fn name(&self, settings: &Settings) -> String {
        let Key {
            order,
            sub_order,
            customs,
        } = &self.key;
        let name = format!("{}/{order}/{sub_order}/{customs}", settings.plan.seed);
        format!(
            "4200{:024}",
            u128::from_be_bytes(short_hash(name.as_bytes())) % 10_u128.pow(24)
        )
    }

    /// The fault of a submission; one of the outcome means nothing where that is `decided`.
    pub(super) fn submitted(&mut self, settings: &Settings, decided: bool) -> Option<Fault> {
        self.calls
            .submit(&settings.plan, self.key.number(), decided)
    }

    /// The fault of a query.
    pub(super) fn queried(&mut self, settings: &Settings) -> Option<Fault> {
        self.calls
            .next(&settings.plan, self.key.number(), CallKind::Query)
    }

    /// It is on its way: decided after two queries, or when its time comes. Under
    /// [`Fault::Pending`] it takes longer.
    pub(super) fn start(
        &mut self,
        state: DeclarationState,
        fault: Option<Fault>,
        settings: &Settings,
        now: Timestamp,
    ) {
        let coin = settings.plan.coin_flip(self.key.number());
        let longer = u32::from(fault == Some(Fault::Pending)) * (1 + u32::from(coin));
        self.state = state;
        self.modified_at = now;
        self.decide_at = now.plus(settings.pending * (1 + longer));
        self.queries_left = 2 + longer;
    }

    /// Takes it as far as time, and a query that looks at it, bring it.
    pub(super) fn advance(&mut self, now: Timestamp, looked: bool) {
        match self.state {
            DeclarationState::Undeclared
            | DeclarationState::Submitted
            | DeclarationState::Processing => {
                self.queries_left = self.queries_left.saturating_sub(u32::from(looked));
                if now >= self.decide_at || self.queries_left == 0 {
                    self.come_to(self.end(), now);
                } else if looked && self.state != DeclarationState::Processing {
                    self.come_to(DeclarationState::Processing, now);
                }
            }
            DeclarationState::Success
                if looked
                    && self.shown
                    && self.key.number().ends_with("-back")
                    && !self.is_mended() =>
            {
                self.come_to(DeclarationState::Except, now);
            }
            DeclarationState::Seen
            | DeclarationState::Success
            | DeclarationState::Fail
            | DeclarationState::Except => {}
        }
    }

    fn come_to(&mut self, state: DeclarationState, now: Timestamp) {
        self.state = state;
        self.modified_at = now;
    }

    /// What becomes of it, by the end of its number.
    fn end(&self) -> DeclarationState {
        match self.key.number() {
            number if number.ends_with("-fail") && !self.is_mended() => DeclarationState::Fail,
            number if number.ends_with("-except") && !self.is_mended() => DeclarationState::Except,
            _ => DeclarationState::Success,
        }
    }

    fn is_mended(&self) -> bool {
        self.redeclared + self.modified > 0
    }
}
