-- The jobs of a lane ($1) that a worker may claim from: those with what is due first come first, since there may be more in dunning
-- than are read.
select id, kind, lane, account, policy, rate_calls, rate_per, concurrency,
  -- Before when nothing of its run is sent, whenever its items are due.
  (select r.send_at from runs as r where r.id = jobs.run_id) as send_at,
  -- When the first of its items is due or its first lease ends. Each part reads one entry of its index, items_due and items_leased;
  -- one condition over both columns would read all items of the job.
  (select min(d.at) from (select min(i.next_at) as at from items as i where i.job_id = jobs.id and i.next_at is not null
     union all select min(i.lease_until) from items as i where i.job_id = jobs.id and i.lease_until is not null) as d) as due
from jobs where lane = $1 and finished_at is null and started = 1 order by due nulls last, id limit 1000
