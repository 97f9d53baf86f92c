-- Runs of a workflow ($1) that were begun from $2 until before $3, those with a job of a gateway account ($4) where one is named; the
-- newest first, $5 at most.
select id, workflow, occurrence, started_at, finished_at, author, pruned_at, send_at, withdrawn_by, withdrawn_at, withdrawal_ended_at
from runs where workflow = $1 and started_at >= $2 and started_at < $3
  and ($4 is null or exists (select 1 from jobs as j where j.run_id = runs.id and j.lane = $4))
order by started_at desc limit $5
