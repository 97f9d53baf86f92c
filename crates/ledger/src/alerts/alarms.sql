-- Events since $1 that a person should hear of at once, the first $2. Those about the payer have a list of their own, other_payers.sql.
-- `cross join`: the events by events_alarms in the order of their time, then what each is about by its number.
select r.id, r.workflow, r.occurrence, e.item_id, e.version, i.key, e.at, e.alarm, coalesce(e.detail, ''), j.kind
from events as e cross join items as i cross join jobs as j cross join runs as r
-- The first condition is that of the index.
where e.alarm is not null and e.alarm not in ('payer_differs', 'payer_unknown') and e.at > $1
  and i.id = e.item_id and j.id = i.job_id and r.id = j.run_id
order by e.at limit $2
