-- A plan ($1) that is made in several commits takes the numbers of its run and of its jobs, $2 of them, before their rows are written.
-- PostgreSQL never runs this, whose `max` takes one value: a plan is one transaction there.
insert into unfinished_plans (id, run_id, first_job, last_job, first_item)
select $1,
  -- Behind those of all runs and jobs, and behind those that other plans under way have taken.
  1 + max(coalesce((select max(id) from runs), 0), coalesce((select max(run_id) from unfinished_plans), 0)),
  n.job + 1, n.job + $2,
  -- Its items get their numbers as they are written: none is before this one.
  1 + coalesce((select max(id) from items), 0)
from (select max(coalesce((select max(id) from jobs), 0), coalesce((select max(last_job) from unfinished_plans), 0)) as job) as n
returning id, run_id, first_job, last_job, first_item
