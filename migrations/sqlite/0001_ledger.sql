-- The ledger is the queue: runs, their jobs and items, and the append-only history of what was sent and what was answered.
-- Times are milliseconds since 1970-01-01T00:00:00Z. Amounts are counts of the currency's minor unit.

create table runs (
  id           integer primary key,
  workflow     text    not null,
  occurrence   text    not null,
  source       text    not null,           -- the workflow file as it was planned
  params       text    not null,           -- JSON object
  started_at   integer not null,
  finished_at  integer,
  unique (workflow, occurrence)
);

create table jobs (
  id           integer primary key,
  run_id       integer not null references runs (id),
  name         text    not null,
  kind         text    not null,           -- deduct, query, ...
  lane         text    not null,           -- the gateway account
  needs        text    not null,           -- JSON array of job names of the same run
  policy       text    not null,           -- JSON: retry, resolve, dunning as they were planned
  rate_calls   integer,                    -- a slower rate than the lane's, if the workflow gives one
  rate_per     integer,                    -- in milliseconds
  concurrency  integer,
  started      integer not null default 0, -- 1 once the jobs it needs have ended
  finished_at  integer,
  unique (run_id, name)
);
create index jobs_unfinished on jobs (lane) where finished_at is null;

-- What became of a job's items, kept by every commit that moves one, so that nothing ever has to be counted.
create table totals (
  job_id       integer not null,
  state        text    not null,
  currency     text    not null,           -- empty where an item has no amount
  items        integer not null,
  minor        integer not null,
  primary key (job_id, state, currency)
) without rowid;

create table items (
  id           integer primary key,
  job_id       integer not null,
  line         integer not null,           -- of the file it came from
  key          text    not null,           -- what may happen at most once
  key_hash     blob,                       -- its fingerprint; none for rows that were refused or skipped
  identity     blob,                       -- fingerprint of what must be equal where the key is
  serial       blob,                       -- fingerprint of what may be in flight once at a time: a contract
  order_no     text,                       -- what the gateway sees; stored before it is sent
  custom_no    text,                       -- the order number the user gave; none where it is derived
  generation   integer not null default 1,
  state        text    not null,
  version      integer not null default 0, -- grows with each move; a settle that knows an older one is late
  due_at       integer,                    -- when somebody has to look at it next; while claimed, when the lease ends
  node         integer,                    -- the process that has claimed it; its lock file tells whether it lives
  sends        integer not null default 0,
  asks         integer not null default 0,
  declines     integer not null default 0,
  sent_at      integer,
  asking_since integer,
  asking       text,                       -- JSON; none: what became of the order
  amount       integer,
  currency     text,
  input        text    not null,           -- JSON object of checked fields
  receipt      text,
  result       text,                       -- JSON object of facts from the reply
  reason       text,
  duplicate_of integer                     -- skipped: the item that has the key
);
create unique index items_key on items (key_hash) where key_hash is not null;
create unique index items_custom_no on items (custom_no) where custom_no is not null;
create index items_due on items (job_id, due_at) where due_at is not null;
create index items_by_job on items (job_id, id) where state in ('failed', 'parked', 'rejected', 'skipped', 'cancelled');
-- One contract, one call: the database itself refuses a second one in flight.
create unique index items_in_flight on items (serial) where state in ('sending', 'pending', 'unknown', 'parked');

-- One row for each call that was answered, or that must be taken as unanswered. Never changed.
create table attempts (
  item_id      integer not null,
  version      integer not null,           -- of the item when it was claimed
  operation    text    not null,
  order_no     text    not null,
  started_at   integer not null,
  ended_at     integer not null,
  answer       text    not null,
  code         text    not null,
  http         integer,
  late         integer not null default 0, -- 1: the lease had run out; recorded, and changed nothing
  evidence     text    not null,
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
  alarm        text,
  primary key (item_id, version)
) without rowid;
create index events_alarms on events (at) where alarm is not null;

-- The token bucket and the pause switch of a gateway account (lane:NAME) or a slower job (job:ID), shared by all nodes.
create table buckets (
  name         text    primary key,
  tokens       integer not null,           -- in thousandths of a call
  filled_at    integer not null
) without rowid;

create table lanes (
  name         text    primary key,
  state        text    not null,           -- open, held, stopped
  reason       text,
  until        integer
) without rowid;
