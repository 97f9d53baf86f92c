-- What gateways answered to the newest items: how often, and how long it took. The items are few, so that it takes as long with ten
-- million.
with newest as (select id, job_id from items order by id desc limit $1)
select j.lane, a.answer, a.code, count(*), cast(avg(a.ended_at - a.started_at) as bigint), max(a.ended_at - a.started_at), max(a.ended_at)
from newest as n
-- `cross join`: the items first, then the calls of each by their key.
cross join attempts as a
join jobs as j on j.id = n.job_id
where a.item_id = n.id and a.kind = 'call'
group by j.lane, a.answer, a.code
order by j.lane, 4 desc, a.answer, a.code limit 500
