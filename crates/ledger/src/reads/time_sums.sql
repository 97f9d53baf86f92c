-- The items of a run ($1) by job, state, currency and the time at which they were last sent, in steps of $2 milliseconds; what was
-- never sent counts when the run was planned.
select i.job_id, i.state, coalesce(i.currency, '') as currency, coalesce(i.sent_at, r.started_at) / $2 as step, count(*) as items,
  cast(coalesce(sum(i.amount), 0) as bigint) as minor
-- `cross join`: by the ids of the jobs of the run.
from runs as r cross join jobs as j cross join items as i
where r.id = $1 and j.run_id = r.id and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id
group by 1, 2, 3, 4 order by 4, 1, 2, 3 limit $3
