-- Reports for finance. A row says that one is to be made, so that exactly one process makes it, and that what could not be written is
-- tried again; the reports themselves are files.

-- A run's report has a row from when the run is planned, if its workflow says so; a month's from when it is due.
create table reports (
  name         text    primary key,        -- of its files, without their endings: runs/run-7, months/2026-11
  run_id       integer,                    -- none: of a month
  due_at       integer,                    -- since when it is to be made; none: it is made, or its run has not ended
  lease_until  integer,                    -- until when a process makes it, or nobody tries again
  made_at      integer                     -- when it was made last
) without rowid;
create index reports_due on reports (due_at) where due_at is not null;
create index reports_made on reports (made_at) where made_at is not null;
create index reports_of_run on reports (run_id) where run_id is not null;

-- What hangs on a mail: files that are kept, read when it is sent.
create table mail_attachments (
  mail_id      integer not null,
  name         text    not null,           -- of the file: reports/runs/run-7.xlsx
  primary key (mail_id, name)
) without rowid;
