-- An item ($1) of which a person wants something, with what decides whether it may be done.
select i.*, j.policy, j.run_id, j.pruned_to,
  -- Another item of its contract that is in flight, by items_in_flight.
  (select min(b.id) from items as b where b.exclusive_key = i.exclusive_key and b.id <> i.id
     and b.state in ('sending', 'pending', 'unknown', 'needs_review')) as busy_with,
  -- Whether the ledger was restored from a backup since its run began, as in due.sql.
  -- `cross join`: the one row of restores first, then the run by its number.
  (select count(*) from restores as x cross join runs as u where x.id = 1 and u.id = j.run_id
     and (u.started_at < x.queries_until or u.at < x.at)) as restored
from items as i join jobs as j on j.id = i.job_id where i.id = $1
