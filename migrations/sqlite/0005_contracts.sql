-- Contracts that live in payrun: what they owe and when, who changed what, and what became of each period.
-- Days are text, YYYY-MM-DD. Amounts are counts of the currency's minor unit.

create table contracts (
  id           integer primary key,
  contract     text    not null,           -- the gateway's id
  account      text    not null,           -- as the gateway tells accounts apart
  version      integer not null default 0, -- grows with each change; a plan that knows an older one leaves the contract alone
  state        text    not null,           -- active, suspended, ended
  since        text,                       -- the day it was suspended or ended
  reason       text,
  currency     text    not null,
  prices       text    not null,           -- JSON array of [day from which it holds, amount]
  every        text    not null,           -- week, month, ...
  anchor       integer not null,           -- day of the month, or of the week (1 is Monday)
  start_on     text    not null,           -- the first day on which a period may fall due
  end_on       text,                       -- the last one
  pay_within   integer not null,           -- days after the due date
  description  text    not null,
  next_due     text,                       -- due date of the first period not accounted for; none if there is none
  created_at   integer not null,
  unique (contract, account)
);
create index contracts_due on contracts (account, next_due, id) where state = 'active';
create index contracts_by_state on contracts (state, id);
create index contracts_ending on contracts (end_on) where state <> 'ended' and end_on is not null;
-- Those that nobody charges.
create index contracts_overdue on contracts (next_due, account) where state = 'active';

-- One row for each period that is accounted for: planned as an item, or never to be charged. No period has two.
create table contract_periods (
  contract_id         integer not null,
  period              text    not null,           -- 2026-03, or 2026-03-31 where weeks are counted
  due                 text    not null,
  pay_by              text,                       -- until when it may be charged after it had lapsed and a person reopened it
  state               text    not null,           -- planned, paid, failed, cancelled: as its item; lapsed, waived, reopened: without one
  item_id             integer,                    -- the item that has its key
  amount              integer not null,
  reason              text,
  recorded_at         integer not null,
  failure_unprocessed integer not null default 0, -- 1: its item has failed, and the contract has not heard of it
  primary key (contract_id, period)
) without rowid;
create index contract_periods_item on contract_periods (item_id) where item_id is not null;
create index contract_periods_failure_unprocessed on contract_periods (item_id) where failure_unprocessed = 1;

-- One row for each change of a contract. Never changed.
create table contract_changes (
  id           integer primary key,
  contract_id  integer not null,
  at           integer not null,
  actor        text    not null,
  change       text    not null,           -- imported, changed, suspended, resumed, ended, reopened
  code         text,                       -- why payrun changed it by itself: failed, terminated, last_day; none of a person's change
  reason       text    not null,
  before       text,                       -- JSON object; none for a new contract
  after        text    not null
);
create index contract_changes_by_contract on contract_changes (contract_id, id);
-- Contracts that payrun stopped by itself.
create index contract_changes_of_payrun on contract_changes (at) where actor = 'payrun';
