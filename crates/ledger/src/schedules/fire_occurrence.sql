-- An occurrence of a workflow has its run ($5), whatever was thought of it before.
insert into occurrences (workflow, nominal, at, timezone, state, run_id, reason, changed_at)
values ($1, $2, $3, $4, 'fired', $5, $6, $7)
-- One that has fired keeps the run that it has.
on conflict (workflow, nominal) do update set state = 'fired', run_id = excluded.run_id,
    reason = excluded.reason, changed_at = excluded.changed_at, failure_code = null
  where occurrences.state <> 'fired'
