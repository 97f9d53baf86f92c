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

-- No other job gets a number that is kept for a plan under way, also from an older payrun that has the file open and knows of no plans
-- under way: the items that wait for that number would become its own.
create trigger jobs_of_unfinished_plans after insert on jobs
  when exists (select 1 from unfinished_plans where new.id between first_job and last_job)
  begin select raise(abort, 'a plan under way has this number'); end;
