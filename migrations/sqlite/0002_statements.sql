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
  remarks      text,                     -- JSON list: which totals say otherwise than its lines (total, says); none if all agree
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

-- What reconciliations found that does not agree, each once: the days' reconciliations go on from these.
create table differences (
  id             integer primary key,
  lane           text    not null,
  content_hash   blob    not null,         -- the same when the same is found again
  reason         text    not null,         -- state, amount, currency, missing_here, ...
  day            text    not null,         -- of the statement, or on which our item was sent
  kind           text    not null,         -- payment, refund, reversal, other
  order_no       text    not null,         -- empty where there is none, as in statement_lines
  refund_no      text    not null,
  transaction_id text    not null,
  ours           integer,
  our_currency   text,
  theirs         integer,
  their_currency text,
  our_state      text,                     -- of our item when it was last found
  their_state    text    not null,         -- in the gateway's word
  item_id        integer,
  line           integer,
  total          text,                     -- which total of the statement: lines, or the caption of a sum; none of what is about no total
  detail         text    not null,         -- where the reason alone does not say
  state          text    not null,         -- open, explained, accepted, closed
  version        integer not null,         -- counts the changes of state, owner and note
  owner          text,                     -- the person who looks after it
  note           text,                     -- what a person said of it last
  found_in       integer not null,         -- the item of the reconciliation that found it first, or anew
  first_seen     integer not null,
  last_seen      integer not null,
  changed_at     integer not null,
  unique (lane, content_hash)
);
create index differences_by_state on differences (state, id);
create index differences_by_day on differences (lane, day, id);
create index differences_by_order on differences (order_no) where order_no <> '';
create index differences_by_refund on differences (refund_no) where refund_no <> '';
create index differences_by_transaction on differences (transaction_id) where transaction_id <> '';
create index differences_by_item on differences (item_id) where item_id is not null;
-- The papers of a run: what its reconciliations found.
create index differences_found_in on differences (found_in);

-- What became of each difference. Never changed.
create table difference_events (
  difference_id  integer not null references differences (id),
  version        integer not null,         -- of the difference after it
  at             integer not null,
  event          text    not null,         -- found, not_found, explain, accept, reopen, assign, comment
  to_state       text    not null,
  actor          text    not null,
  note           text    not null,         -- the person's reason, or the evidence
  primary key (difference_id, version)
) without rowid;
