-- Items behind an id ($1) and up to another ($2), in the order of their ids, $8 at most. What stands in braces is put in where a
-- list is asked for, since what decides which index is used cannot be a parameter.
select {columns}
-- `cross join`: the items (or what a bulk action changed, and the item of each) in the order of their ids, then the job of each.
from {source} cross join jobs as j
where j.id = i.job_id and i.id > $1 and i.id <= $2 {states}
  -- These conditions are in every statement and hold where their parameter is null: states ($3, of which there are $4), the key
  -- ($5), the run ($6), the job's name ($7), the lane ($9), a part of the reason ($10), the workflow ($11), when the run was
  -- planned ($12 to $13, the end not with it), the code of the last answer ($14), the currency ($15), 'none' without one, and the
  -- bulk action ($16).
  and ($4 = 0 or i.state in (select atom from json_each($3)))
  and {key}
  and ($6 is null or j.run_id = $6)
  and ($7 is null or j.name = $7)
  and ($9 is null or j.lane = $9)
  and ($10 is null or replace(i.reason, $10, '') <> i.reason)
  and ($11 is null or exists (select 1 from runs as r where r.id = j.run_id and r.workflow = $11))
  and ($12 is null or exists (select 1 from runs as r where r.id = j.run_id and r.started_at >= $12 and r.started_at < $13))
  and {code}
  and ($15 is null or coalesce(nullif(i.currency, ''), 'none') = $15)
  and {bulk}
order by {order} limit $8
