//! Contracts as rows: one for each period that is due, contract by contract, in the order of their
//! due dates.

use std::collections::VecDeque;

use tokio::runtime::Handle;

use crate::planning::row_source::RowReadError;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Amount;
use payrun_domain::subscription::{DuePeriod, Period, RunDays};
use payrun_ledger::{
    ContractRow, Ledger, LedgerError, PlannedContract, PlannedPeriod, RejectedRow,
};
use payrun_project::workflow::source::FileRow;

/// How many contracts are read at a time.
const PAGE: u32 = 500;

/// The due periods of an account's active contracts, a page at a time.
pub(crate) struct ContractRows {
    ledger: Ledger,
    /// The reading thread is no task: it waits here for the ledger.
    runtime: Handle,
    account: String,
    days: RunDays,
    page: VecDeque<ContractRow>,
    last: Option<ContractRow>,
    ended: bool,
    /// What is left to be read of the contract that was read last.
    left: VecDeque<(u64, ContractRow, DuePeriod)>,
    line: u64,
    taken: Vec<PlannedContract>,
}

impl ContractRows {
    /// What is due on an account for a run.
    pub(crate) fn new(ledger: Ledger, runtime: Handle, account: String, days: RunDays) -> Self {
        let (page, left, taken) = (VecDeque::new(), VecDeque::new(), Vec::new());
        Self {
            ledger,
            runtime,
            account,
            days,
            page,
            last: None,
            ended: false,
            left,
            line: 0,
            taken,
        }
    }

    /// Reads the next row; none at the end.
    pub(crate) fn read(&mut self, row: &mut FileRow) -> Option<Result<(), RowReadError>> {
        while self.left.is_empty() {
            match self.next_contract() {
                Ok(Some(contract)) => self.take(contract),
                Ok(None) => return None,
                Err(error) => return Some(Err(RowReadError::Ledger(error))),
            }
        }
        let (line, contract, due) = self.left.pop_front()?;
        if due.lapsed {
            let lapsed = lapsed(line, &contract.contract, &due);
            return Some(Err(RowReadError::Refused(Box::new(lapsed))));
        }
        *row = FileRow::of(line, &cells(&contract, &due).each_ref().map(String::as_str));
        Some(Ok(()))
    }

    /// Whether what has been read so far is whole contracts.
    pub(crate) fn is_between(&self) -> bool {
        self.left.is_empty()
    }

    /// The contracts that have been read since this was asked last.
    pub(crate) fn taken(&mut self) -> Vec<PlannedContract> {
        std::mem::take(&mut self.taken)
    }

    fn next_contract(&mut self) -> Result<Option<ContractRow>, LedgerError> {
        if self.page.is_empty() && !self.ended {
            let page =
                self.ledger
                    .due_contracts(&self.account, self.days.on, self.last.as_ref(), PAGE);
            self.page = self.runtime.block_on(page)?.into();
            self.last = self.page.back().cloned();
            self.ended = self.page.is_empty();
        }
        Ok(self.page.pop_front())
    }

    fn take(&mut self, contract: ContractRow) {
        let due = contract.subscription.due(
            contract.open(),
            self.days,
            &contract.accounted,
            &contract.reopened,
        );
        let Some(last) = due.last().map(|due| due.period.due) else {
            return;
        };
        let next_due = last
            .succ_opt()
            .and_then(|open| contract.subscription.next_due(open, &contract.accounted));
        let mut periods = Vec::with_capacity(due.len());
        for due in due {
            self.line += 1;
            let (period, amount, lapsed) = (due.period.clone(), due.amount, due.lapsed);
            periods.push(PlannedPeriod {
                line: self.line,
                period,
                amount,
                lapsed,
            });
            self.left.push_back((self.line, contract.clone(), due));
        }
        let ContractRow {
            id,
            contract,
            version,
            ..
        } = contract;
        self.taken.push(PlannedContract {
            id,
            contract,
            version,
            periods,
            next_due,
        });
    }
}

/// In the order of [`payrun_project::workflow::CONTRACT_COLUMNS`].
fn cells(row: &ContractRow, due: &DuePeriod) -> [String; 8] {
    [
        row.contract.clone(),
        due.amount.decimal(),
        due.amount.currency().code().to_owned(),
        due.period.name.clone(),
        due.period.due.to_string(),
        due.period.pay_by.to_string(),
        row.subscription.terms.every().as_str().to_owned(),
        row.subscription.description.clone(),
    ]
}

fn lapsed(line: u64, contract: &str, due: &DuePeriod) -> RejectedRow {
    refusal(
        line,
        contract,
        &due.period,
        State::Rejected,
        due.amount,
        lapse(&due.period),
    )
}

/// Why a period is no longer charged.
pub(super) fn lapse(period: &Period) -> Message {
    let Period { name, due, pay_by } = period;
    Message::new(
        "period-lapsed",
        "the period {name} fell due on {due} and could be charged until {pay_by}: it has lapsed",
    )
    .with("name", name)
    .with("due", due.to_string())
    .with("pay_by", pay_by.to_string())
}

/// A period's row that makes no item.
pub(super) fn refusal(
    line: u64,
    contract: &str,
    period: &Period,
    state: State,
    amount: Amount,
    reason: Message,
) -> RejectedRow {
    RejectedRow {
        key: format!("{contract}/{}", period.name),
        state,
        amount: Some(amount),
        ..RejectedRow::of_line(line, reason)
    }
}
