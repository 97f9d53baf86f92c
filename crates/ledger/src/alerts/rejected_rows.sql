-- Unfinished runs of which rows were rejected: how many, the newest 100 runs. Those of a run that has ended are in
-- ended_runs.sql.
-- The totals are kept, so no item is counted. `cross join`: the runs by runs_unfinished, their jobs, and the totals of those.
select r.id, r.workflow, r.occurrence, cast(sum(t.items) as bigint)
from runs as r cross join jobs as j cross join totals as t
where r.finished_at is null and j.run_id = r.id and t.job_id = j.id and t.state = 'rejected' and t.items > 0
group by r.id, r.workflow, r.occurrence order by r.id desc limit 100
