-- Schedules fire by rows: an occurrence is one wall-clock time of a workflow, so no two processes, and no restart, can make two of
-- one. Its run has the same name, which is unique among the workflow's runs.

-- How far the times of a workflow's schedule have been noted.
create table schedules (
  workflow       text    primary key,
  rule           text    not null,           -- the rule and time zone it was last seen with; none or paused where it is off
  calendar_hash  text    not null,           -- fingerprint of the calendars that move its dates
  since          integer not null,           -- times up to this instant are none of its
  recorded_until integer not null,           -- times up to this instant have their rows
  resumed_at     integer                     -- when a person last resumed it: what was due before is missed, however short the pause
) without rowid;

-- The times of the schedules, and what became of each.
create table occurrences (
  workflow     text    not null,
  nominal      text    not null,           -- wall-clock time that the rule names: 2026-11-30T09:30
  at           integer not null,           -- when it is due, after calendars moved it
  timezone     text    not null,           -- of the wall clock
  state        text    not null,           -- due, queued, fired, skipped, missed, failed
  run_id       integer,                    -- fired: its run
  reason       text,
  failure_code text,                       -- failed: the same for programs, FailureCode
  changed_at   integer not null,
  primary key (workflow, nominal)
) without rowid;
create index occurrences_open on occurrences (workflow, at, nominal) where state in ('due', 'queued');
create index occurrences_by_time on occurrences (at, workflow, nominal);
-- Those that could not be planned.
create index occurrences_failed on occurrences (changed_at) where state = 'failed';
