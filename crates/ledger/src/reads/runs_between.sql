-- Runs that were planned from $1 up to $2, behind $3. The index of runs by time has their workflow first: the workflows are
-- found by jumping from one to the next in it, and of each only the runs of that time are read.
with recursive names (workflow) as (
  select min(workflow) from runs
  union all
  select (select min(r.workflow) from runs as r where r.workflow > n.workflow) from names as n where n.workflow is not null
)
select r.id, r.workflow, r.occurrence, r.started_at, r.finished_at, r.author, r.pruned_at, r.send_at, r.withdrawn_by, r.withdrawn_at, r.withdrawal_ended_at
-- `cross join`: the workflows first, then the runs of each by the index.
from names as n cross join runs as r
where r.workflow = n.workflow and r.started_at >= $1 and r.started_at < $2 and r.id > $3
order by r.id limit $4
