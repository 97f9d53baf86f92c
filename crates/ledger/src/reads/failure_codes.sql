-- The failed items of a run ($1) by job, currency and the code that they failed with, the most frequent first, $2 at most.
select f.job_id, f.currency, f.code, count(*) as items, cast(sum(f.amount) as bigint) as minor
from (
  select i.job_id, coalesce(i.currency, '') as currency, coalesce(i.amount, 0) as amount,
    -- As exported_items.sql: the last answer that says why.
    coalesce((select a.code from attempts as a where a.item_id = i.id and a.kind in ('call', 'notification') and a.code <> ''
      order by a.version desc, a.late desc limit 1), '') as code
  -- `cross join`: by the ids of the jobs of the run. The first condition on the state is that of the index items_in_state, the second
  -- is what is meant.
  from jobs as j cross join items as i
  where j.run_id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id
    and i.state in ('failed', 'needs_review', 'rejected', 'skipped', 'cancelled') and i.state = 'failed') as f
group by f.job_id, f.currency, f.code order by 4 desc, 1, 2, 3 limit $2
