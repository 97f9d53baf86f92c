-- Jobs of these kinds ($3) on a lane ($2) that may have sent something from $4 until before $5, from behind $1 on, $6 at most.
select j.id, j.kind, coalesce(j.first_item, 0), coalesce(j.last_item, 9223372036854775807)
-- `cross join`: the jobs in the order of their numbers, then the run of each.
from jobs as j cross join runs as r
where r.id = j.run_id and j.id > $1 and j.lane = $2 and j.kind in (select atom from json_each($3))
  -- A job that ended before has sent nothing since, and a run that began later nothing yet.
  and j.planned = 1 and (j.finished_at is null or j.finished_at >= $4) and r.started_at < $5
order by j.id limit $6
