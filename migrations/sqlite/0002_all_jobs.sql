-- Jobs whose items come from other jobs are planned when those have ended; refunds count against the payment they are taken
-- from; statements and settlements are kept beside the items.

-- For which instant a run is, and on which wall clock: its later jobs are planned with the same values as its first.
alter table runs add column at integer;
alter table runs add column timezone text;

alter table jobs add column planned integer not null default 1; -- 0 until the jobs it takes its items from have ended
alter table jobs add column failure text;                       -- why it could not be planned then
alter table jobs add column first_item integer;                 -- its items have all ids from here
alter table jobs add column last_item integer;                  -- to here: they are planned in one transaction
create index jobs_unplanned on jobs (run_id) where planned = 0;

-- Fingerprint of the payment that the item's amount is taken from, set before anything is sent.
alter table items add column taken_from blob;
create index items_taken_from on items (taken_from) where taken_from is not null;

-- Payments as the gateways showed them when they were looked up: what was paid does not change.
create table payments (
  id             integer primary key,
  account        blob    not null,   -- fingerprint of the account
  order_no       text    not null,   -- the merchant's number
  transaction_id text    not null,   -- the gateway's
  amount         integer not null,
  currency       text    not null,
  seen_at        integer not null,
  unique (account, order_no),
  unique (account, transaction_id)
);

-- One row for each statement that was fetched and kept.
create table statements (
  id             integer primary key,
  lane           text    not null,
  day            text    not null,   -- YYYY-MM-DD, as the gateway counts days
  sha256         text    not null,
  location       text    not null,   -- where the file is
  lines          integer not null,
  fetched_at     integer not null,
  unique (lane, day)
);

create table statement_lines (
  statement_id   integer not null references statements (id),
  line           integer not null,   -- of the file, from 1
  kind           text    not null,   -- payment, refund, reversal, other
  time           text    not null,   -- as the file writes it
  order_no       text    not null,
  transaction_id text    not null,
  refund_no      text    not null,
  refund_id      text    not null,
  state          text    not null,
  amount         integer,
  currency       text,
  fee            integer,
  fee_currency   text,
  settled        integer,
  settled_currency text,
  primary key (statement_id, line)
) without rowid;
create index statement_lines_by_order on statement_lines (order_no) where order_no <> '';

-- Settlement batches as they were last seen.
create table settlements (
  lane           text    not null,
  batch_id       text    not null,
  state          text    not null,   -- SETTLED, UNSETTLE
  facts          text    not null,   -- JSON object of the batch; money in minor units
  first_seen     integer not null,
  last_seen      integer not null,
  primary key (lane, batch_id)
) without rowid;

-- Proof that the key for personal data is the one the ledger was begun with.
create table vault (
  id             integer primary key check (id = 1),
  proof          text    not null
);
