-- Events since $1 that say that the payer is another one, or not known, the first $2. All other alarms are in alarms.sql.
-- `cross join`: the events first, then what each is about by its number.
select r.id, r.workflow, r.occurrence, e.item_id, e.version, i.key, e.at, e.alarm, coalesce(e.detail, ''), j.kind
from events as e cross join items as i cross join jobs as j cross join runs as r
where e.alarm in ('payer_differs', 'payer_unknown') and e.at > $1
  and i.id = e.item_id and j.id = i.job_id and r.id = j.run_id
order by e.at limit $2
