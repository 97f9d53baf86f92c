-- What is due of a job ($1) by now ($2), $3 items at most: to be sent, or to be asked about.
select id, job_id, version, state, generation, submit_count, query_count, decline_count, sent_at,
  unresolved_since, query_purpose, receipt, order_no, custom_order_no, key_hash, amount, currency, input, exclusive_key, result,
  withdrawn,
  -- What of its contract is in flight: one at most, by the unique index items_in_flight, whose condition this repeats.
  (select b.state from items as b where b.exclusive_key = items.exclusive_key
     and b.state in ('sending', 'pending', 'unknown', 'needs_review')) as in_flight,
  (select 1 from paused_contracts as p where p.exclusive_key = items.exclusive_key) as paused,
  -- Whether the end of its contract waits to be sent: looked for among all items of the contract only while there is a job that ends
  -- contracts and has not ended itself. `cross join` keeps SQLite from reading the jobs first.
  case when exists (select 1 from jobs as o where o.kind = 'terminate' and o.finished_at is null) then
    (select 1 from items as t cross join jobs as k where t.exclusive_key = items.exclusive_key and t.exclusive_key is not null
       and t.key_hash is not null and t.state in ('planned', 'awaiting_approval')
       and t.id <> items.id and k.id = t.job_id and k.kind = 'terminate' limit 1) end as ending,
  -- Whether money moved under an earlier number: only who has had one is looked up.
  case when generation > 1 then (select 1 from events as e where e.item_id = items.id and e.alarm = 'money_moved' limit 1)
    end as moved,
  -- Whether the ledger was restored from a backup since its run began, and which number was asked about since. There is one row
  -- of restores at most, so it comes first.
  coalesce(recalled, 0) as recalled,
  (select count(*) from restores as r cross join jobs as j cross join runs as u where r.id = 1 and j.id = $1
     and u.id = j.run_id and (u.started_at < r.queries_until or u.at < r.at)) as restored
from items where job_id = $1 and next_at <= $2 order by next_at limit $3
