-- An item ($1) of which a person wants something, with what decides whether it may be done.
select i.*, j.policy, j.run_id, j.pruned_to,
  -- Another item of its contract that is in flight, by items_in_flight.
  (select min(b.id) from items as b where b.exclusive_key = i.exclusive_key and b.id <> i.id
     and b.state in ('sending', 'pending', 'unknown', 'needs_review')) as busy_with,
  -- Whether the ledger was restored from a backup since its run began, as in due.sql.
  -- `cross join`: the one row of restores first, then the run by its number.
  (select count(*) from restores as x cross join runs as u where x.id = 1 and u.id = j.run_id
     and (u.started_at < x.queries_until or u.at < x.at)) as restored,
  -- A later item that gives the same back of the same payment.
  coalesce(
    -- By items_content_hash: the row was mended under a key of its own. A refund whose payment was not found has no refunded_payment yet.
    -- `cross join`: the items first, then the job of each.
    (select min(o.id) from items as o cross join jobs as k
       where (j.kind = 'refund' or i.refunded_payment is not null) and o.content_hash = i.content_hash and o.content_hash is not null
         and substr(o.content_hash, 1, 8) = substr(i.content_hash, 1, 8)
       and o.id > i.id and o.state not in ('failed', 'cancelled', 'rejected', 'skipped') and k.id = o.job_id and k.kind = j.kind),
    -- By items_refunded_payment: the payment was named by its other number.
    (select min(o.id) from items as o
       where o.refunded_payment = i.refunded_payment and o.refunded_payment is not null and o.amount = i.amount and o.currency = i.currency
       and o.id > i.id and o.state not in ('failed', 'cancelled', 'rejected', 'skipped'))) as given_back_as
from items as i join jobs as j on j.id = i.job_id where i.id = $1
