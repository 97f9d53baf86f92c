-- What is to be asked about of a job ($1) that may send nothing, by now ($2), $3 items at most: found among what is open, however
-- much waits to be sent.
select id, job_id, version, state, generation, submit_count, query_count, decline_count, sent_at,
  unresolved_since, query_purpose, receipt, order_no, custom_order_no, key_hash, amount, currency, input, exclusive_key, result,
  withdrawn, null as in_flight, null as paused, null as ending,
  -- As due.sql, also the `cross join`.
  coalesce(recalled, 0) as recalled,
  (select count(*) from restores as r cross join jobs as j cross join runs as u where r.id = 1 and j.id = $1
     and u.id = j.run_id and (u.started_at < r.queries_until or u.at < r.at)) as restored
-- The plus signs keep SQLite from items_due, where millions may wait to be sent: items_queried and items_claimed hold what is open.
from items where id in (select id from items where state in ('pending', 'unknown') and +job_id = $1 and +next_at <= $2
  union all select id from items where node is not null and state = 'sending' and +job_id = $1 and +next_at <= $2)
order by next_at limit $3
