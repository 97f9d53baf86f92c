-- Whether there is anything to end or to start: asked before the writer is troubled.
select 1 as one from jobs where finished_at is null and (
  -- A job without open items ends.
  (started = 1 and planned = 1 and not exists
    (select 1 from totals as t where t.job_id = jobs.id and t.items > 0
       and t.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown')))
  -- A job starts when those that it needs have ended.
  or (started = 0 and not exists (select 1 from json_each(jobs.needs) as n
       join jobs as d on d.run_id = jobs.run_id and d.name = n.atom where d.finished_at is null)))
-- A run without open jobs ends.
union all select 1 from runs where finished_at is null and not exists
  (select 1 from jobs as j where j.run_id = runs.id and j.finished_at is null)
limit 1
