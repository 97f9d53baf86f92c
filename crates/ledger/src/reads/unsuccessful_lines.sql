-- The rows of a job ($1) that failed, and those of which it is not known yet what becomes of them, by line, behind a line and an id
-- ($2, $3). A row that stands for several items may have several.
select i.id, i.line, i.reason, i.state, i.result,
  -- As exported_items.sql: the last answer that says why.
  coalesce((select a.code from attempts as a where a.item_id = i.id and a.kind in ('call', 'notification') and a.code <> ''
    order by a.version desc, a.late desc limit 1), '') as code
-- `cross join`: by the ids of the job's items, which are all that are looked at.
from jobs as j cross join items as i
where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id
  and (i.state = 'failed' or i.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown', 'needs_review'))
  and (i.line > $2 or (i.line = $2 and i.id > $3))
order by i.line, i.id limit $4
