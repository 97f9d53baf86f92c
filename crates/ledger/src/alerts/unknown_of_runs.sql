-- Runs with items of which nobody knows what became of them since before $1: how many, and since when.
select r.id, r.workflow, r.occurrence, cast(count(*) as bigint), min(u.unresolved_since)
from (
  -- By items_unknown; bounded, since an outage may leave a million.
  select job_id, unresolved_since from items where state = 'unknown' and unresolved_since <= $1
  order by unresolved_since limit 10000) as u
-- `cross join`: what was found first, then the job and the run of each by their numbers.
cross join jobs as j cross join runs as r where j.id = u.job_id and r.id = j.run_id
group by r.id, r.workflow, r.occurrence order by r.id desc limit 100
