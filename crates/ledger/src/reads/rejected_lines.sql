-- The rejected rows of a job ($1), by line, behind a line and an id ($2, $3). A row that stands for several items may have several.
select i.id, i.line, i.reason, i.reason_message
-- `cross join`: by the ids of the job's items, which are all that are looked at.
from jobs as j cross join items as i
where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id and i.state = 'rejected' and (i.line > $2 or (i.line = $2 and i.id > $3))
order by i.line, i.id limit $4
