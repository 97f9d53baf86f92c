-- Jobs and states of which the totals are not what the items add up to, ten at most.
select job_id, state from (
  -- Each item counts once. The items of a plan under way are in no total yet.
  select job_id, state, 1 as items, coalesce(amount, 0) as minor from items where not exists
    (select 1 from unfinished_plans as u where items.job_id between u.first_job and u.last_job)
  -- The totals count against them.
  union all select job_id, state, -items, -minor from totals) as counted
group by job_id, state having sum(items) <> 0 or sum(minor) <> 0 limit 10
