-- The oldest run that ended before $1 and still has evidence, by the index runs_with_evidence, whose conditions this repeats.
select r.id from runs as r where r.finished_at < $1 and r.finished_at is not null and r.pruned_at is null
  -- Nothing of a run is pruned while anything of it may still happen. `cross join`: the jobs of the run first, then their totals.
  and not exists (select 1 from jobs as j cross join totals as t where j.run_id = r.id and t.job_id = j.id and t.items > 0
    and t.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown', 'needs_review'))
order by r.finished_at limit 1
