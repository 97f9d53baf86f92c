-- Runs that ended between $1 and $2, the first $3: how many items failed, how many rows were refused, how many jobs were not planned.
-- The totals are kept, so no item is counted. `cross join`: by the jobs of the run.
select r.id, r.workflow, r.occurrence, r.finished_at,
  (select cast(coalesce(sum(t.items), 0) as bigint) from jobs as j cross join totals as t
     where j.run_id = r.id and t.job_id = j.id and t.state = 'failed'),
  (select cast(coalesce(sum(t.items), 0) as bigint) from jobs as j cross join totals as t
     where j.run_id = r.id and t.job_id = j.id and t.state = 'rejected'),
  (select cast(count(*) as bigint) from jobs as j where j.run_id = r.id and j.failure_code is not null)
from runs as r where r.finished_at > $1 and r.finished_at <= $2
order by r.finished_at, r.id limit $3
