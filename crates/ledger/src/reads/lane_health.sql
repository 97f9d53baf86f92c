-- The lanes that have open jobs, or ever had a call: their tokens, and since when something of theirs is due.
select l.lane, (select b.tokens from token_buckets as b where b.name = 'lane:' || l.lane) as tokens,
  -- The least of the least: the inner one is an entry of items_due for each job.
  (select min((select min(i.next_at) from items as i
                where i.job_id = j.id and i.next_at is not null and i.node is null))
     from jobs as j where j.lane = l.lane and j.finished_at is null and j.started = 1) as due
from (select lane from jobs where finished_at is null and started = 1
      union select substr(name, 6) from token_buckets where name like 'lane:%') as l
order by 1 limit 1000
