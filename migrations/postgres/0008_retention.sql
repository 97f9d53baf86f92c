-- What is old is forgotten, and a ledger that was restored from a backup knows that it has forgotten.

-- Of a finished run that is old the evidence goes, in steps.
alter table jobs add column forgotten_to bigint;       -- its items up to this id have none any more
alter table runs add column forgotten_at bigint;       -- since when nothing of it has
alter table statements add column forgotten_at bigint; -- its lines are going
create index runs_with_evidence on runs (finished_at) where finished_at is not null and forgotten_at is null;
create index statements_by_time on statements (fetched_at);
create index requests_by_time on requests (created_at);

-- A restored ledger does not know what was sent since the backup: what it is about to send is asked about first.
create table restores (
  id           bigint primary key check (id = 1),
  backup_at    bigint not null,           -- what happened since is not here
  at           bigint not null,
  asks_until   bigint not null             -- runs that are planned before are asked about first
);
alter table items add column recalled bigint; -- the generation that was asked about before it was sent
