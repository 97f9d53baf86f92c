-- What reconciliations that ended between $1 and $2 found otherwise than the ledger has it, the first $3.
-- `cross join`: the jobs by jobs_reconciled, then their items by the numbers between which they are.
select r.id, r.workflow, r.occurrence, i.id, j.lane, j.finished_at, coalesce(i.result, '{}')
from jobs as j cross join runs as r cross join items as i
where j.kind = 'reconcile' and j.finished_at > $1 and j.finished_at <= $2 and r.id = j.run_id
  and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id and i.state = 'failed'
order by j.finished_at, i.id limit $3
