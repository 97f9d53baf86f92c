-- How many items of how many runs have evidence from before $1, $2 at most.
select count(*) from (
  -- `cross join`: the runs by runs_with_evidence, their jobs, and the items by the numbers between which they are.
  select 1 from runs as r cross join jobs as j cross join items as i
  where r.finished_at < $1 and r.finished_at is not null and r.pruned_at is null and j.run_id = r.id
    and i.id > coalesce(j.pruned_to, j.first_item - 1) and i.id <= j.last_item and i.job_id = j.id
    -- Nothing of a run is pruned while anything of it may still happen.
    and not exists (select 1 from jobs as o cross join totals as t where o.run_id = r.id and t.job_id = o.id and t.items > 0
      and t.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown', 'needs_review'))
  limit $2) as e
