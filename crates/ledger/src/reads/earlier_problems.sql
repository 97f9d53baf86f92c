-- Where rows of a run ($1) were skipped because an earlier item has their key, and that item went wrong: how many, by run and kind.
select t.run_id, e.state, count(*) as items, t.kind
from (
  -- The first condition is that of the index items_with_problems, the second is what is meant. `cross join`: by the jobs of the run.
  select s.duplicate_of from jobs as j cross join items as s where j.run_id = $1 and s.job_id = j.id and s.duplicate_of is not null
    and s.state in ('failed', 'needs_review', 'rejected', 'skipped', 'cancelled') and s.state = 'skipped'
  limit 100000) as d
cross join items as e join jobs as t on t.id = e.job_id
where e.id = d.duplicate_of and e.state in ('failed', 'needs_review')
group by t.run_id, t.kind, e.state order by t.run_id, t.kind, e.state limit 100
