-- Rows of a batch (of the job $2) that say the same of the same payment or contract as an earlier item: how often, and as which last.
-- $1: each with `id`, and `content_hash`, which is null where it is as it stands in the item.
select g.id, g.times, g.latest, j.run_id, l.key, l.state
from (
  -- `cross join`: the list first, then the items by their number, then the others by items_content_hash.
  select i.id as id, count(*) as times, max(o.id) as latest
  from json_each($1) as k cross join items as i cross join items as o join jobs as j on j.id = $2
  where i.id = cast(k.value ->> 'id' as bigint) and o.content_hash is not null
    and substr(o.content_hash, 1, 8) = substr(coalesce(unhex(k.value ->> 'content_hash'), i.content_hash), 1, 8)
    and o.content_hash = coalesce(unhex(k.value ->> 'content_hash'), i.content_hash)
    and (o.id < coalesce(j.first_item, i.id) or (o.id < i.id and o.job_id <> i.job_id))
    and o.state not in ('rejected', 'skipped', 'cancelled')
    -- A plan under way has no job yet.
    and exists (select 1 from jobs as oj where oj.id = o.job_id)
  group by i.id) as g
join items as l on l.id = g.latest join jobs as j on j.id = l.job_id
