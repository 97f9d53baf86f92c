-- How many rows of a job ($1) have items of which it is not known yet what becomes of them, by state.
select i.state, count(distinct i.line)
-- `cross join`: by the ids of the job's items, which are all that are looked at.
from jobs as j cross join items as i
where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id
  and i.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown', 'needs_review')
group by i.state
