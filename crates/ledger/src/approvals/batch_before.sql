-- The job of this name ($2) of the newest run of a workflow ($1) before a run ($3) that had items: a run of which every row was rejected
-- or skipped has none to compare with.
select j.id, j.run_id from runs as r join jobs as j on j.run_id = r.id
where r.workflow = $1 and r.id < $3 and j.name = $2 and j.last_item >= j.first_item
  and exists (select 1 from totals as t where t.job_id = j.id and t.items > 0 and t.state not in ('rejected', 'skipped'))
order by r.id desc limit 1
