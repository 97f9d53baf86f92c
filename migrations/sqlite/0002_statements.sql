-- What the gateways say of the past: payments that were looked up, statements and settlements.

-- Payments as the gateways showed them when they were looked up: what was paid does not change.
create table payments (
  id                   integer primary key,
  account              blob    not null,         -- fingerprint of the account
  order_no             text    not null,         -- the merchant's number
  transaction_id       text    not null,         -- the gateway's
  amount               integer not null,
  currency             text    not null,
  conflicting_amount   integer,                  -- what a later lookup said, where that differs: a person has to find out which is so
  conflicting_currency text,
  seen_at              integer not null,
  unique (account, order_no),
  unique (account, transaction_id)
);

-- One row for each statement that was fetched and kept.
create table statements (
  id           integer primary key,
  lane         text    not null,
  day          text    not null,         -- YYYY-MM-DD, as the gateway counts days
  sha256       text    not null,
  location     text    not null,         -- where the file is
  lines        integer not null,
  remarks      text,                     -- JSON list of sentences: what its totals say otherwise than its lines; none if all agree
  fetched_at   integer not null,
  pruned_at    integer,                  -- since when its lines are going
  unique (lane, day)
);
create index statements_by_time on statements (fetched_at);

-- The lines of a statement.
create table statement_lines (
  statement_id     integer not null references statements (id),
  line             integer not null,         -- of the file, from 1
  kind             text    not null,         -- payment, refund, reversal, other
  time             text    not null,         -- as the file writes it
  order_no         text    not null,         -- the merchant's number of the payment; empty where there is none, as below
  transaction_id   text    not null,
  refund_no        text    not null,
  refund_id        text    not null,
  state            text    not null,         -- in the gateway's word
  amount           integer,
  currency         text,
  fee              integer,
  fee_currency     text,
  settled          integer,                  -- what it does to what the gateway owes us
  settled_currency text,
  primary key (statement_id, line)
) without rowid;
create index statement_lines_by_order on statement_lines (order_no) where order_no <> '';
-- Whether a refund stands in a statement is asked by its own number, or by the gateway's where the file has no other: one
-- payment may have many refunds, so the payment's order number does not lead to them.
create index statement_lines_by_refund on statement_lines (refund_no) where refund_no <> '';
create index statement_lines_by_refund_id on statement_lines (refund_id) where refund_id <> '';
-- `payrun find` by the gateway's number, also of payments that are not ours.
create index statement_lines_by_transaction on statement_lines (transaction_id) where transaction_id <> '';

-- Settlement batches as they were last seen.
create table settlements (
  lane         text    not null,
  batch_id     text    not null,
  state        text    not null,         -- SETTLED, UNSETTLE
  facts        text    not null,         -- JSON object of the batch; money in minor units
  first_seen   integer not null,
  last_seen    integer not null,
  primary key (lane, batch_id)
) without rowid;
