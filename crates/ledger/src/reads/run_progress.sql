-- What there is to do for a run ($1): how many items are open, how many of them are being sent in these lanes ($2), and when the next
-- is due in these lanes. $3: `LANE`, `LANE/KIND` or `LANE/KIND/JOB` that may only ask.
select cast(coalesce(sum(t.items), 0) as bigint),
  cast(coalesce(sum(case when t.state = 'sending' and j.lane in (select atom from json_each($2)) then t.items end), 0) as bigint),
  (select min(case when exists (select 1 from pauses as p where p.scope = 'all'
         or (p.scope = 'gateway' and p.name = j.lane) or (p.scope = 'workflow' and p.name = r.workflow))
         or exists (select 1 from json_each($3) as a where a.atom in (j.lane, j.lane || '/' || j.kind,
           j.lane || '/' || j.kind || '/' || j.id))
       -- Of what is paused, or may only ask, only what is asked about is due.
       then (select min(coalesce(i.next_at, i.lease_until)) from items as i
         where i.job_id = j.id and i.state in ('pending', 'unknown'))
       -- As open_jobs.sql.
       else (select min(d.at) from (select min(i.next_at) as at from items as i
           where i.job_id = j.id and i.next_at is not null
         union all select min(i.lease_until) from items as i
           where i.job_id = j.id and i.lease_until is not null) as d) end)
     from jobs as j join runs as r on r.id = j.run_id where j.run_id = $1 and j.finished_at is null and j.started = 1
        and j.lane in (select atom from json_each($2))),
  -- Before when nothing of it is sent.
  (select r.send_at from runs as r where r.id = $1)
-- The totals say what is open without an item being counted; `cross join`: by the jobs of the run.
from jobs as j cross join totals as t
where t.job_id = j.id and j.run_id = $1 and t.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown')
