-- How many items of a run ($1) were last sent in each step of $3 milliseconds from an instant ($2) on, $4 steps at most.
select (i.sent_at - $2) / $3 as step, count(*) as items
-- `cross join`: by the ids of the jobs of the run. The plus keeps the index of all that was sent at that time from being used.
from jobs as j cross join items as i
where j.run_id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id and +i.sent_at >= $2 and +i.sent_at < $2 + $3 * $4
group by 1 order by 1 limit $4
