-- What persons do: who did what and why (audit), what is paused, how slow a lane goes, what waits for approval, and who may speak to
-- the service.

-- One row for each deed, each tied to all before it by its hash. Never changed, never deleted, numbered without gaps.
create table audit (
  seq          integer primary key,
  at           integer not null,
  actor        text    not null,
  via          text    not null,
  action       text    not null,
  target       text    not null,
  reason       text    not null,
  before       text    not null,           -- JSON object
  after        text    not null,           -- JSON object
  hash         text    not null            -- SHA-256 over the hash before and this row
);
create trigger audit_update before update on audit
  begin select raise(abort, 'the audit log is never changed'); end;
create trigger audit_delete before delete on audit
  begin select raise(abort, 'the audit log is never changed'); end;
-- `insert or replace` would delete without a trigger.
create trigger audit_insert before insert on audit when exists (select 1 from audit where seq >= new.seq)
  begin select raise(abort, 'the audit log is never changed'); end;

-- Whoever looks at one thing is shown what persons did to it.
create index audit_by_target on audit (target, seq);

-- What sends nothing new; what is open of it is still asked about.
create table pauses (
  scope        text    not null,           -- all, gateway, workflow
  name         text    not null,           -- empty for all
  at           integer not null,
  actor        text    not null,
  reason       text    not null,
  audit        integer not null,           -- the entry that says so
  primary key (scope, name)
) without rowid;

-- The same for contracts, which may be many: found by the fingerprint that items have of theirs.
create table paused_contracts (
  exclusive_key blob    primary key,
  gateway       text    not null,
  contract      text    not null,
  at            integer not null,
  actor         text    not null,
  reason        text    not null,
  audit         integer not null           -- the entry that says so
) without rowid;

-- Slower than the account's own bounds, by a person, until taken away.
create table lane_limits (
  name         text    primary key,
  rate_calls   integer,
  rate_per     integer,                    -- in milliseconds
  concurrency  integer,
  at           integer not null,
  actor        text    not null,
  reason       text    not null,
  audit        integer not null            -- the entry that says so
) without rowid;

-- A job's items that wait until enough persons, none of them the author, have approved this very content.
create table approvals (
  id           integer primary key,
  job_id       integer not null unique,
  state        text    not null,           -- waiting, approved, rejected, expired, void
  author       text    not null,
  needed       integer not null,           -- how many persons
  content_hash text    not null,           -- SHA-256 of rows, sums and workflow
  items        integer not null,
  sums         text    not null,           -- JSON object: minor units by currency
  asked_at     integer not null,
  expires_at   integer not null,
  decided_at   integer
);
create index approvals_open on approvals (expires_at) where state in ('waiting', 'void');

-- Who has approved.
create table approval_votes (
  approval_id  integer not null references approvals (id),
  person       text    not null,           -- the name in lower case
  actor        text    not null,
  at           integer not null,
  reason       text    not null,
  audit        integer not null,           -- the entry that says so
  primary key (approval_id, person)
) without rowid;

-- Tokens of the API. The token itself is told once, to the person who makes it; only its SHA-256 is kept.
create table tokens (
  id           integer primary key,
  name         text    not null unique,
  role         text    not null,           -- viewer, operator, approver, admin
  hash         blob    not null unique,
  created_at   integer not null,
  created_by   text    not null,
  expires_at   integer,
  revoked_at   integer
);

-- Runs that were asked for by the API, by the caller's Idempotency-Key: asked again, the same run is the answer.
create table idempotency_keys (
  caller       text    not null,
  key          text    not null,
  fingerprint  blob    not null,           -- of what was asked: another request under this key is refused
  created_at   integer not null,
  done_at      integer,                    -- none: it is under way, or broke off; what was sent again waits for it
  primary key (caller, key)
) without rowid;
create index idempotency_keys_by_time on idempotency_keys (created_at);
