-- The rows of a job ($1) of which another job ($2) has the key, from behind $3 on, 2000 at a time.
select i.id, i.key,
  -- Whether key fields and amounts are equal; a value that is missing on both sides is.
  cast(case when b.amount is not distinct from i.amount and b.currency is not distinct from i.currency
    and b.content_hash is not distinct from i.content_hash then 1 else 0 end as bigint),
  -- What both say.
  i.input, b.input, b.id
-- `cross join`: the job, then its items, then the others by items_by_key.
from jobs as j cross join items as i cross join items as b
-- As largest_rows.sql.
where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807)
  and i.job_id = j.id and i.state not in ('rejected', 'skipped') and i.id > $3
  -- The same key in the other job.
  and b.key = i.key and b.job_id = $2 and b.state not in ('rejected', 'skipped')
order by i.id limit 2000
