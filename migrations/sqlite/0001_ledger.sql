-- The ledger is the queue: runs, their jobs and items, and the append-only history of what was sent and what was answered.
-- Times are milliseconds since 1970-01-01T00:00:00Z. Amounts are counts of the currency's minor unit.

-- One row for each time that a workflow is carried out.
create table runs (
  id           integer primary key,
  workflow     text    not null,
  occurrence   text    not null,           -- what it is for: the schedule's time, a person's command, an Idempotency-Key
  at           integer,                    -- the instant it is for: its later jobs are planned with the same values as its first
  timezone     text,                       -- and on which wall clock
  file         text,                       -- its path in the workflows folder; none from elsewhere, or where a person has decided
  source       text    not null,           -- the workflow file as it was planned
  params       text    not null,           -- JSON object
  author       text,                       -- who started it
  author_user  text,                       -- the user of the machine, who is compared at an approval; none if the name was proved
  started_at   integer not null,
  finished_at  integer,
  pruned_at    integer,                    -- since when it has no evidence any more
  send_at      integer,                    -- nothing of it is sent before; none: at once. Never changed once it is planned, so nobody reads it twice
  -- That it is withdrawn as a whole stands here before any of its items is cancelled: from then on nothing of it is claimed to be sent,
  -- none of its later jobs is planned, and nothing is tried again until every open item has been cancelled or withdrawn.
  withdrawn_by text,                       -- who, and why; none: it was not
  withdrawn_at integer,
  withdrawal_ended_at integer,             -- since when no open item of it is left that is not withdrawn
  unique (workflow, occurrence)
);
create index runs_unfinished on runs (id) where finished_at is null;
create index runs_finished on runs (finished_at) where finished_at is not null;
create index runs_of_workflow on runs (workflow, started_at);
create index runs_with_evidence on runs (finished_at) where finished_at is not null and pruned_at is null;
create index runs_being_withdrawn on runs (id) where withdrawn_at is not null and withdrawal_ended_at is null;

-- The jobs of a run, as they were planned.
create table jobs (
  id           integer primary key,
  run_id       integer not null references runs (id),
  name         text    not null,
  kind         text    not null,           -- deduct, query, ...
  lane         text    not null,           -- the gateway account by its name in payrun.yaml
  account      text,                       -- the same as the gateway tells accounts apart: the name may be another's by now
  needs        text    not null,           -- JSON array of job names of the same run
  policy       text    not null,           -- JSON: retry, query, dunning as they were planned
  rate_calls   integer,                    -- a slower rate than the lane's, if the workflow gives one
  rate_per     integer,                    -- in milliseconds
  concurrency  integer,
  planned      integer not null default 1, -- 0 until the jobs it takes its items from have ended
  failure      text,                       -- why it could not be planned then
  failure_code text,                       -- the same for programs: FailureCode
  failure_message text,                    -- the first as a message, for other languages
  first_item   integer,                    -- its items have ids from here
  last_item    integer,                    -- to here; between them may be others of plans made at the same time
  started      integer not null default 0, -- 1 once the jobs it needs have ended
  finished_at  integer,
  pruned_to    integer,                    -- its items up to this id have no evidence any more
  file         text,                       -- JSON: the file its rows came from, and how it was read: FileReading
  unique (run_id, name)
);
create index jobs_unfinished on jobs (lane) where finished_at is null;
create index jobs_unplanned on jobs (run_id) where planned = 0;
create index jobs_reconciled on jobs (finished_at) where kind = 'reconcile' and finished_at is not null;
-- Each claim asks whether there is a job under way that ends contracts.
create index jobs_terminating on jobs (id) where kind = 'terminate' and finished_at is null;
-- Which accounts there have been, as the gateways tell them apart: a contract's fingerprint is made of one.
create index jobs_by_account on jobs (account) where account is not null;

-- What became of a job's items, kept by every commit that moves one, so that nothing ever has to be counted.
create table totals (
  job_id       integer not null,
  state        text    not null,
  currency     text    not null,           -- empty where an item has no amount
  items        integer not null,
  minor        integer not null,           -- the sum of their amounts
  primary key (job_id, state, currency)
) without rowid;
create index totals_needing_review on totals (job_id) where state = 'needs_review';

-- One row for each input row, date or period of a job: the queue.
create table items (
  id               integer primary key,
  job_id           integer not null,
  line             integer not null,           -- of the file it came from
  key              text    not null,           -- what may happen at most once
  key_hash         blob,                       -- its fingerprint; none for rows that were refused or skipped
  content_hash     blob,                       -- fingerprint of what must be equal where the key is
  exclusive_key    blob,                       -- fingerprint of what may be in flight once at a time: a contract
  refunded_payment blob,                       -- fingerprint of the payment its amount is taken from, set before anything is sent
  part_of          blob,                       -- fingerprint of what it is for the whole, or for a part, of: a payment at a customs
  part             text,                       -- which part, in small letters; empty: the whole
  part_written     text,                       -- the same as its row wrote it
  part_once        integer,                    -- 1: the part is done once; what does it again is of another kind
  payment_ours     text,                       -- account and the merchant's number of the payment it is of, in small letters
  payment_theirs   text,                       -- the same by the gateway's number: a payment is told by both
  payment_part     text,                       -- account, customs and sub-order, in small letters, where the gateway finds it by that number alone
  payment_written  text,                       -- both numbers as its row wrote them
  order_no         text,                       -- what the gateway sees; stored before it is sent
  custom_order_no  text,                       -- the order number the user gave; none where it is derived
  generation       integer not null default 1, -- how many order numbers it has had
  recalled         integer,                    -- the generation that was asked about before it was sent, after a restore
  state            text    not null,
  version          integer not null default 0, -- grows with each move; a settle that knows an older one is late
  next_at          integer,                    -- when somebody has to look at it next; none while it is claimed
  lease_until      integer,                    -- while it is claimed: when the claim ends, and it is due again
  node             integer,                    -- the process that has claimed it; its lock tells whether it lives
  submit_count     integer not null default 0, -- submissions under this order number
  query_count      integer not null default 0, -- queries since it was sent, or since it is unresolved
  decline_count    integer not null default 0, -- soft declines: its place on the dunning ladder
  sent_at          integer,
  unresolved_since integer,                    -- since when nobody knows what became of it
  query_purpose    text,                       -- JSON: what its queries are to find out; none: what became of the order
  amount           integer,
  currency         text,
  receipt          text,
  reason           text,                       -- why it is in this state, or waits
  reason_code      text,                       -- what follows from that reason, if anything does: ReasonCode
  reason_message   text,                       -- the reason as a message, for other languages
  withdrawn        text,                       -- who wants nothing more sent of it, and why, until a person has it tried again
  withdrawn_at     integer,
  duplicate_of     integer,                    -- skipped: the item that has the key
  input            text    not null,           -- JSON object of checked fields
  result           text                        -- JSON object of facts from the reply
);
create unique index items_key on items (key_hash) where key_hash is not null;
create unique index items_custom_order_no on items (custom_order_no) where custom_order_no is not null;
-- One contract, one call: the database itself refuses a second one in flight.
create unique index items_in_flight on items (exclusive_key) where state in ('sending', 'pending', 'unknown', 'needs_review');
create index items_due on items (job_id, next_at) where next_at is not null;
-- Leases that have run out are looked for before each claim; there are as many as there are calls under way.
create index items_leased on items (job_id, lease_until) where lease_until is not null;
-- What a dead process left is found without reading every item.
create index items_claimed on items (node) where node is not null;
create index items_refunded_payment on items (refunded_payment) where refunded_payment is not null;
-- What is done of a whole, and what of its parts: a payment is declared to a customs whole or by its sub-orders, never both.
create index items_part_of on items (part_of, part) where part_of is not null;
create index items_payment_ours on items (payment_ours, payment_written) where payment_ours is not null;
create index items_payment_part on items (payment_part, payment_written) where payment_part is not null;
create index items_payment_theirs on items (payment_theirs, payment_written) where payment_theirs is not null;
-- What was put off of a contract, so that it is found when that goes on.
create index items_postponed on items (exclusive_key) where state = 'planned' and reason_code is not null;
-- Lists of what went wrong, of what is being asked about, and of a key, among millions of items that went well.
create index items_with_problems on items (id) where state in ('failed', 'needs_review', 'rejected', 'skipped', 'cancelled');
create index items_queried on items (id) where state in ('pending', 'unknown');
-- One state by itself: a few that failed among a million rows that were rejected.
create index items_in_state on items (state, id) where state in ('failed', 'needs_review', 'rejected', 'skipped', 'cancelled');
create index items_by_key on items (key);
create index items_needing_review on items (job_id) where state = 'needs_review';
create index items_unknown on items (unresolved_since) where state = 'unknown';
-- Whoever approves a batch is shown which of its rows say the same of the same payment or contract as an earlier one.
-- Eight bytes of a fingerprint find its item as well as all 32, and are less to write: whoever looks compares the whole.
create index items_content_hash on items (substr(content_hash, 1, 8)) where content_hash is not null;
-- Whoever approves a refund that names our own payment by the gateway's number is shown what was paid, before any lookup.
create index items_receipt on items (receipt) where receipt is not null;
-- Which keys sealed values need is looked up at each start, and `payrun reseal` finds what is sealed under an old one. The id of a
-- key stands in the value itself (16 characters and a colon); '-' is a value from before keys had ids.
create index items_sealed on items (case when substr(input, instr(input, '{"sealed":"') + 27, 1) = ':'
    then substr(input, instr(input, '{"sealed":"') + 11, 16) else '-' end) where instr(input, '{"sealed":"') > 0;

-- `payrun find`: every item of a contract, also those that ended long ago. `key_hash` is in the condition so that only the search takes
-- this index: claims and pauses have smaller ones.
create index items_of_contract on items (exclusive_key) where exclusive_key is not null and key_hash is not null;
-- `payrun find --amount`: what was sent of an amount on a day, the newest first. `job_id` is in it so that the account is told apart
-- without reading the items.
create index items_sent on items (currency, amount, sent_at, job_id) where sent_at is not null;

-- What a workflow declares `searchable`: by these texts an item is found. They go with the item's input when it is pruned.
create table item_references (
  item_id      integer not null,
  name         text    not null,           -- the column of the row
  hashed       integer not null,           -- 1: the text is a keyed hash in hex; 0: it is the value itself, folded
  text         text    not null,
  primary key (item_id, name)
) without rowid;
create index item_references_by_text on item_references (hashed, text, item_id);
-- The key of those hashes: random, and sealed under `encryption_key`. It stays the same when that changes.
create table reference_key (
  id           integer primary key check (id = 1),
  sealed       text    not null
);

-- One row for each call that was answered, or that must be taken as unanswered. Never changed.
create table attempts (
  item_id      integer not null,
  version      integer not null,           -- of the item when it was claimed
  kind         text    not null,           -- call, abandoned, notification, statement, person
  operation    text    not null,           -- the gateway's; where there was no call, the kind
  order_no     text    not null,
  started_at   integer not null,
  ended_at     integer not null,
  answer       text    not null,
  code         text    not null,           -- the gateway's
  http         integer,                    -- the status of the reply
  late         integer not null default 0, -- 1: the lease had run out; recorded, and changed nothing
  evidence     text    not null,           -- the reply as it came
  -- A claim whose lease ran out has two: that it was abandoned, and what was answered late.
  primary key (item_id, version, late)
);

-- One row for each move of an item. Never changed.
create table events (
  item_id      integer not null,
  version      integer not null,           -- of the item after the move
  at           integer not null,
  event        text    not null,
  from_state   text    not null,
  to_state     text    not null,
  detail       text,
  message      text,                       -- the same as a message, for other languages
  alarm        text,                       -- a contradiction that a person has to hear of
  alarm_about  blob,                       -- what one that moves nothing is about: it is told once
  primary key (item_id, version)
) without rowid;
create index events_alarms on events (at) where alarm is not null;

-- The token bucket of a gateway account (lane:NAME) or a slower job (job:ID), shared by all nodes.
create table token_buckets (
  name         text    primary key,
  tokens       integer not null,           -- in thousandths of a call
  filled_at    integer not null
) without rowid;

-- Whether a gateway account, a kind of job on it, or one job sends anything; none that is open and has always been.
create table lanes (
  name         text    primary key,
  state        text    not null,           -- open, suspended, stopped
  reason       text,
  author       text,                       -- the person who suspended it; none where payrun closed it
  until        integer                     -- when it opens again by itself
) without rowid;

-- A plan that is made in short commits, so that it keeps nobody waiting: its items are there, its run and its jobs are not, and whatever
-- looks for items by their jobs does not find them. The commit that makes the run takes the row away. A row whose lock nobody
-- holds is of a process that died: its items are deleted, and nothing has been planned.
create table unfinished_plans (
  id           integer primary key,        -- random; the name of its lock
  run_id       integer not null,           -- the number that its run will have
  first_job    integer not null,           -- its jobs will have the numbers from here
  last_job     integer not null,           -- to here
  first_item   integer not null,           -- none of its items has a smaller number
  given_up     integer not null default 0  -- 1 from before the first of its items is deleted: it is never committed then
);
-- No other job gets a number that is kept for a plan under way: the items that wait for that number would become its own.
create trigger jobs_of_unfinished_plans after insert on jobs
  when exists (select 1 from unfinished_plans where new.id between first_job and last_job)
  begin select raise(abort, 'a plan under way has this number'); end;

-- Proof that the key for personal data is the one the ledger was begun with.
create table encryption_key_check (
  id           integer primary key check (id = 1),
  proof        text    not null
);

-- A restored ledger does not know what was sent since the backup: what it is about to send is asked about first.
create table restores (
  id            integer primary key check (id = 1),
  backup_at     integer not null,           -- what happened since is not here
  at            integer not null,
  queries_until integer not null            -- runs that are planned before are asked about first
);

-- A ledger that was moved to another database, or is a backup, is never written. The triggers that see to it are made with the row
-- (crates/ledger/src/admin/fence.rs), so that they hold for every process that has it open.
create table fence (
  id           integer primary key check (id = 1),
  moved_to     text    not null,           -- without user and password
  at           integer not null
);

-- What `payrun backup` has made of this ledger, so that whoever looks at the day sees when the last one was. A copy does not have its own.
create table backups (
  at           integer not null,           -- what the copy shows is of this instant
  file         text    not null,           -- its name, without its folder
  bytes        integer not null,
  primary key (at, file)
);
